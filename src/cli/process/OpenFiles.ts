/** Lowers the connection limit to the files that this process may open, minus a reserve. */
import { Effect, FileSystem, Option } from "effect"
import type { ServerLimits } from "../../server/admission/ServerLimits.ts"
import { MAX_CONNECTIONS } from "../../server/operator/http/HttpConnections.ts"

/** On Linux. Node raises the soft limit to the hard limit when it starts. */
const LIMITS_FILE = "/proc/self/limits"
const OPEN_FILES = /^Max open files\s+(\d+)\s/m

/** Files for the store, its workers, Node, commands of operators and refused connections. */
export const RESERVED_FILES = 64

export const withinOpenFiles = Effect.fn("OpenFiles.withinOpenFiles")(function* (
  limits: ServerLimits,
  hasHttp: boolean
) {
  const fs = yield* FileSystem.FileSystem
  // Other systems have no such file.
  const text = yield* Effect.option(fs.readFileString(LIMITS_FILE))
  const [, digits] = OPEN_FILES.exec(Option.getOrElse(text, () => "")) ?? []
  if (digits === undefined) return limits
  const reserved = hasHttp ? RESERVED_FILES + MAX_CONNECTIONS : RESERVED_FILES
  const room = Math.max(1, Number(digits) - reserved)
  if (room >= limits.maxConnections) return limits
  yield* Effect.logWarning(
    `limited to ${room} connections: this process may have ${digits} files open (ulimit -n)`
  )
  return { ...limits, maxConnections: room }
})
