/** A folder that is removed when its scope closes. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "lottery-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)
