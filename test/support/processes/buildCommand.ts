/** Builds the command once before the tests, so that they run the current sources. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"

const root = join(import.meta.dirname, "..", "..", "..")

export default async (): Promise<void> => {
  await promisify(execFile)(process.execPath, [join(root, "build.ts")], { cwd: root })
}
