/**
 * A program that runs as a process of its own, with what it says in files: nothing of it goes
 * through the process that measures. It is killed with its scope.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Clock, Data, Deferred, Effect, Exit } from "effect"

/** A program ended as it should not have; the message has the last that it said. */
export class ProgramFailed extends Data.TaggedError("ProgramFailed")<{
  readonly message: string
}> {}

export interface Command {
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** Where its standard output and standard error are kept. */
  readonly folder: string
  /** Beside what every program has of the environment. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Program {
  readonly pid: number
  /** Milliseconds of the clock, just before it was started. */
  readonly startedAt: number
  /** All that it said so far on standard output, and on standard error. */
  readonly output: () => string
  readonly log: () => string
  /** Waits for its end, which must be a good one; gives its time, as `startedAt`. */
  readonly ended: Effect.Effect<number, ProgramFailed>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

/** Settings of the machine must not decide; what Node keeps compiled is where it always is. */
export const environment = (): NodeJS.ProcessEnv => {
  const { HOME, PATH, TMPDIR } = process.env
  return { PATH, TZ: "UTC", ...(HOME && { HOME }), ...(TMPDIR && { TMPDIR }) }
}

/** The last that a failed program said, in characters. */
const SHOWN = 4000

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
        const shown = `${output()}${log()}`.slice(-SHOWN)
        const message = `${[command, ...args].join(" ")}\n${reason}:\n${shown}`
        Deferred.doneUnsafe(ended, Exit.fail(new ProgramFailed({ message })))
      }
      child.on("error", ({ message }) => fail(message))
      child.on("exit", (code, signal) => {
        if (code === 0) Deferred.doneUnsafe(ended, Exit.succeed(Date.now()))
        else fail(`ended with ${code ?? signal}`)
      })
      return child
    }),
    kill
  )
  return {
    // One that could not be started has none, and has failed.
    pid: child.pid ?? 0,
    startedAt,
    output,
    log,
    ended: Deferred.await(ended),
    signal: (signal) => Effect.sync(() => child.kill(signal))
  } satisfies Program
})

/** Runs a program to its end; gives how long that took, in seconds, and what it said. */
export const run = Effect.fnUntraced(function* (command: Command) {
  const program = yield* start(command)
  const endedAt = yield* program.ended
  return { seconds: (endedAt - program.startedAt) / 1000, output: program.output() }
}, Effect.scoped)

const LOOK_AGAIN = "2 millis"

/** Waits until a text that grows, such as a log, matches; fails where the program ends before. */
export const awaitText = Effect.fnUntraced(function* (
  program: Program,
  text: () => string,
  pattern: RegExp
) {
  const look = Effect.gen(function* () {
    for (;;) {
      const match = pattern.exec(text())
      if (match !== null) return match
      yield* Effect.sleep(LOOK_AGAIN)
    }
  })
  const tooEarly = Effect.flatMap(program.ended, () =>
    Effect.fail(new ProgramFailed({ message: `ended without ${pattern}: ${text()}` }))
  )
  return yield* Effect.raceFirst(look, tooEarly)
})
