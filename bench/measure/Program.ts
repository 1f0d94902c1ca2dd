/**
 * Runs a program as a separate process until the scope closes. Its output goes to files, so that
 * the measuring process does no work for it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Clock, Data, Deferred, Effect, Exit } from "effect"

/** A program failed; the message contains the end of its output. */
export class ProgramFailed extends Data.TaggedError("ProgramFailed")<{
  readonly message: string
}> {}

export interface Command {
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** The folder for its standard output and standard error. */
  readonly folder: string
  readonly env?: Readonly<Record<string, string>>
}

export interface Program {
  readonly pid: number
  /** Clock time just before the start, in milliseconds. */
  readonly startedAt: number
  /** Its standard output and its standard error so far. */
  readonly output: () => string
  readonly log: () => string
  /** Waits until it ends successfully; returns the clock time, like `startedAt`. */
  readonly ended: Effect.Effect<number, ProgramFailed>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

/** A minimal environment, so that the machine's settings do not affect the figures. */
export const environment = (): NodeJS.ProcessEnv => {
  const { HOME, PATH, TMPDIR } = process.env
  return { PATH, TZ: "UTC", ...(HOME && { HOME }), ...(TMPDIR && { TMPDIR }) }
}

const SHOWN_CHARACTERS = 4000

const isRunning = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null

const kill = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (!isRunning(child)) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

export const start = Effect.fnUntraced(function* ({ args, command, env, folder }: Command) {
  const file = join(folder, randomUUID())
  const [outputFile, logFile] = [`${file}.out`, `${file}.log`]
  const output = () => readFileSync(outputFile, "utf8")
  const log = () => readFileSync(logFile, "utf8")
  const ended = yield* Deferred.make<number, ProgramFailed>()
  const startedAt = yield* Clock.currentTimeMillis
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const descriptors = [openSync(outputFile, "w"), openSync(logFile, "w")]
      const child = spawn(command, args, {
        env: { ...environment(), ...env },
        stdio: ["ignore", ...descriptors]
      })
      for (const descriptor of descriptors) closeSync(descriptor)
      const fail = (reason: string) => {
        const shown = `${output()}${log()}`.slice(-SHOWN_CHARACTERS)
        const message = `${[command, ...args].join(" ")}\n${reason}:\n${shown}`
        Deferred.doneUnsafe(ended, Exit.fail(new ProgramFailed({ message })))
      }
      child.on("error", ({ message }) => fail(message))
      child.on("exit", (code, signal) => {
        if (code === 0) Deferred.doneUnsafe(ended, Exit.succeed(Date.now()))
        else fail(`exited with ${code ?? signal}`)
      })
      return child
    }),
    kill
  )
  return {
    // Undefined if the program could not be started; `ended` has failed then.
    pid: child.pid ?? 0,
    startedAt,
    output,
    log,
    ended: Deferred.await(ended),
    signal: (signal) => Effect.sync(() => child.kill(signal))
  } satisfies Program
})

/** Runs a program to its end; returns its seconds and its output. */
export const run = Effect.fnUntraced(function* (command: Command) {
  const program = yield* start(command)
  const endedAt = yield* program.ended
  return { seconds: (endedAt - program.startedAt) / 1000, output: program.output() }
}, Effect.scoped)

const LOOK_INTERVAL = "2 millis"

/** Waits until a growing text, such as a log, matches; fails if the program ends first. */
export const awaitText = Effect.fnUntraced(function* (
  program: Program,
  text: () => string,
  pattern: RegExp
) {
  const look = Effect.gen(function* () {
    for (;;) {
      const match = pattern.exec(text())
      if (match !== null) return match
      yield* Effect.sleep(LOOK_INTERVAL)
    }
  })
  const tooEarly = Effect.flatMap(program.ended, () =>
    Effect.fail(new ProgramFailed({ message: `ended without ${pattern}: ${text()}` }))
  )
  return yield* Effect.raceFirst(look, tooEarly)
})
