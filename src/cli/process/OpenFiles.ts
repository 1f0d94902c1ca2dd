/**
 * How many files this process may have open: each connection is one. Where the system says so, and
 * allows less than the server would take, it takes fewer, so that the store always has some.
 */
import { Effect, FileSystem, Option } from "effect"
import type { ServerLimits } from "../../server/admission/ServerLimits.ts"

/** Where Linux says it. Node has raised the soft limit to the hard one at its start. */
const LIMITS_FILE = "/proc/self/limits"
const OPEN_FILES = /^Max open files\s+(\d+)\s/m

/** Files for the store, its workers and Node itself, and connections that are being refused. */
export const RESERVED_FILES = 64

/** The limits, with no more connections than there can be files. */
export const withinOpenFiles = Effect.fn("OpenFiles.withinOpenFiles")(function* (
  limits: ServerLimits
) {
  const fs = yield* FileSystem.FileSystem
  // Another system has no such file, and says it elsewhere.
  const text = yield* Effect.option(fs.readFileString(LIMITS_FILE))
  const [, digits] = OPEN_FILES.exec(Option.getOrElse(text, () => "")) ?? []
  if (digits === undefined) return limits
  const room = Math.max(1, Number(digits) - RESERVED_FILES)
  if (room >= limits.maxConnections) return limits
  yield* Effect.logWarning(
    `${room} connections at most: this process may have ${digits} files open (ulimit -n)`
  )
  return { ...limits, maxConnections: room }
})
