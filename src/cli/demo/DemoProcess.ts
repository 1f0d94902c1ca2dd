/** Runs a `lottery` command as a separate process and reads its log line by line. */
import { Data, Effect, Option, Schema, Stream } from "effect"
import * as ChildProcess from "effect/process/ChildProcess"

const LogLine = Schema.fromJsonString(
  Schema.Struct({
    action: Schema.optional(Schema.String),
    message: Schema.optional(Schema.String),
    cantidad: Schema.optional(Schema.Number),
    posicion: Schema.optional(Schema.Number),
    port: Schema.optional(Schema.Number),
    url: Schema.optional(Schema.String),
    winners_port: Schema.optional(Schema.Number)
  })
)
export type LogLine = typeof LogLine.Type
const decodeLine = Schema.decodeOption(LogLine)

class DemoFailed extends Data.TaggedError("DemoFailed")<{
  readonly processName: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.processName} failed: ${this.reason}`
  }
}

/** The time between SIGTERM and SIGKILL when the scope closes. */
const KILL_AFTER = "5 seconds"

interface Expected {
  /** Fails if this is not in the log: a process that was stopped exits with 0 too. */
  readonly lastAction?: string
  /** The exit code, 0 by default. */
  readonly code?: number
  /** Where it runs; here by default. */
  readonly folder?: string
  /** Gets each line of the log. */
  readonly onLine?: (line: LogLine) => Effect.Effect<void>
}

/** Runs `lottery` with these arguments and returns the lines that it prints. */
export const run = Effect.fnUntraced(
  function* (
    processName: string,
    args: ReadonlyArray<string>,
    { code: expectedCode = 0, folder, lastAction, onLine = () => Effect.void }: Expected
  ) {
    // Settings in the user's environment must not affect the demo.
    const env = { PATH: process.env.PATH, TZ: process.env.TZ }
    const command = [...process.execArgv, process.argv[1] ?? "", ...args, "--log-format", "json"]
    const child = yield* ChildProcess.make(process.execPath, command, {
      env,
      extendEnv: false,
      ...(folder !== undefined && { cwd: folder }),
      stdin: "ignore",
      killSignal: "SIGTERM",
      forceKillAfter: KILL_AFTER
    })
    let last = ""
    let isDone = lastAction === undefined
    const log = child.stderr.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.runForEach((text) => {
        const line = decodeLine(text)
        if (Option.isNone(line)) {
          last = text
          return Effect.void
        }
        last = line.value.message ?? text
        if (line.value.action === lastAction) isDone = true
        return onLine(line.value)
      })
    )
    const output = child.stdout.pipe(Stream.decodeText(), Stream.splitLines, Stream.runCollect)
    const failed = (reason: string) => new DemoFailed({ processName, reason })
    const exitCode = Effect.mapError(child.exitCode, () => failed("it was killed"))
    const [printed, , code] = yield* Effect.all([output, log, exitCode], {
      concurrency: "unbounded"
    })
    if (code !== expectedCode) return yield* failed(last || `exit code ${code}`)
    if (!isDone) return yield* failed("it was stopped")
    return [...printed]
  },
  (effect, processName) =>
    Effect.catchTag(effect, "PlatformError", (error) =>
      Effect.fail(new DemoFailed({ processName, reason: error.message }))
    ),
  Effect.scoped
)
