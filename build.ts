/**
 * Bundles the command line into the one file that is shipped, `dist/lottery.js`. It is written
 * under a name of its own and renamed at the end, so that builds may run at the same time and
 * nobody runs half a file.
 */
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { rolldown } from "rolldown"

const root = import.meta.dirname
const folder = join(root, "dist")

// An older Node must get as far as the line that says which one is needed: what it does not have
// may be asked for with `process.getBuiltinModule`, but not imported at the top of the file.
const STATIC_IMPORT = /^import .*from "(.+)";$/gm
const NOT_IN_OLDER_NODE = new Set(["node:sqlite", "node:test"])
// Large parts of the libraries which nothing here needs; an index file of theirs brings them in.
const UNWANTED = /node_modules\/(undici|ws|ioredis|redis)\//

const checkBundle = (code: string, modules: ReadonlyArray<string>): void => {
  for (const [, name] of code.matchAll(STATIC_IMPORT)) {
    if (NOT_IN_OLDER_NODE.has(name!)) throw new Error(`${name} is imported statically`)
    if (!name!.startsWith("node:")) throw new Error(`${name} is not in the bundle`)
  }
  const unwanted = modules.find((module) => UNWANTED.test(module))
  if (unwanted !== undefined) throw new Error(`${unwanted} is in the bundle`)
}

const bundle = async (): Promise<string> => {
  const build = await rolldown({
    input: join(root, "src", "cli", "main.ts"),
    cwd: root,
    platform: "node"
  })
  try {
    // Not minified: that saves some 15 ms of 150 at the start, and costs readable stack traces.
    const { output } = await build.generate({
      format: "esm",
      codeSplitting: false,
      banner: "#!/usr/bin/env node"
    })
    if (output.length !== 1) throw new Error(`expected one file, got ${output.length}`)
    checkBundle(output[0].code, output[0].moduleIds)
    return output[0].code
  } finally {
    await build.close()
  }
}

await mkdir(folder, { recursive: true })
const temporary = join(folder, `.lottery.${process.pid}.${crypto.randomUUID()}.js`)
try {
  await writeFile(temporary, await bundle())
  await chmod(temporary, 0o755)
  await rename(temporary, join(folder, "lottery.js"))
} finally {
  await rm(temporary, { force: true })
}
