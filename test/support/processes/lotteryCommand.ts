/** Runs the built command as a process. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { delimiter, dirname, join } from "node:path"
import { Deferred, Effect, Exit } from "effect"

const ROOT = join(import.meta.dirname, "..", "..", "..")
export const COMMAND = join(ROOT, "dist", "lottery.cjs")
/** Saves hundreds of processes from compiling the same file. */
const COMPILE_CACHE = join(ROOT, "node_modules", ".cache", "lottery-tests")

export interface Outcome {
  /** The exit code, or null if a signal ended the process. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Run {
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** The Node to use; by default that of the tests. */
  readonly node?: string
  /** A prefix for the command line, such as a tracer. */
  readonly under?: ReadonlyArray<string>
  /** Called with all of standard error so far whenever it grows. */
  readonly onStderr?: (stderr: string, child: ChildProcess) => void
}

/** Excludes the machine's own settings. */
const environment = (extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  TZ: "UTC",
  NODE_COMPILE_CACHE: COMPILE_CACHE,
  ...extra
})

/** For `under`: runs `words` with the command's arguments instead of the built command. */
export const instead = (words: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...["sh", "-c", `shift 2; exec ${words.map((word) => `'${word}'`).join(" ")} "$@"`, "sh"]
]

/** Returns a PATH that finds this Node first. */
export const pathWith = (node: string): string =>
  [dirname(node), "/usr/bin", "/bin"].join(delimiter)

/** A Node on this machine that is older than required, if there is one. */
export const olderNode: string | undefined = (process.env.PATH ?? "")
  .split(delimiter)
  .concat("/usr/bin", "/usr/local/bin")
  .map((folder) => join(folder, "node"))
  .find((path) => {
    const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8" })
    return typeof stdout === "string" && Number.parseInt(stdout.slice(1), 10) < 26
  })

export interface Running {
  readonly child: ChildProcess
  /** Waits until standard error matches; dies if the process ends first. */
  readonly logged: (pattern: RegExp) => Effect.Effect<RegExpExecArray>
  /** The same with standard output. */
  readonly printed: (pattern: RegExp) => Effect.Effect<RegExpExecArray>
  /** Standard error so far. */
  readonly stderr: () => string
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  readonly outcome: Effect.Effect<Outcome>
}

const launch = (run: Run) => {
  const [program, ...args] = [...(run.under ?? []), run.node ?? process.execPath, COMMAND]
  return spawn(program!, [...args, ...run.args], { env: environment(run.env), cwd: run.cwd })
}

/** Gathers what a process writes. The outcome has no code before `onClose`. */
export const gather = (
  child: ChildProcess,
  onClose: () => void,
  onStderr: () => void = () => {}
): Readonly<Outcome> => {
  const outcome: { -readonly [Key in keyof Outcome]: Outcome[Key] } = {
    code: null,
    stdout: "",
    stderr: ""
  }
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    outcome.stdout += text
  })
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    outcome.stderr += text
    onStderr()
  })
  child.on("close", (code) => {
    outcome.code = code
    onClose()
  })
  return outcome
}

/** Starts `lottery`; closing the scope kills it. */
export const startLottery = Effect.fnUntraced(function* (run: Run) {
  const ended = yield* Deferred.make<Outcome>()
  let look = () => {}
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => launch(run)),
    (process) => Effect.sync(() => process.kill("SIGKILL"))
  )
  const onClose = () => {
    Deferred.doneUnsafe(ended, Exit.succeed(outcome))
    look()
  }
  const outcome = gather(child, onClose, () => look())
  child.stdout.on("data", () => look())
  const waitFor = (output: "stdout" | "stderr") => (pattern: RegExp) =>
    Effect.callback<RegExpExecArray>((resume) => {
      look = () => {
        const match = pattern.exec(outcome[output])
        if (match !== null) {
          // A process may write megabytes after this.
          look = () => {}
          resume(Effect.succeed(match))
        } else if (Deferred.isDoneUnsafe(ended)) {
          resume(Effect.die(new Error(`ended without ${pattern}: ${outcome.stderr}`)))
        }
      }
      look()
    })
  return {
    child,
    logged: waitFor("stderr"),
    printed: waitFor("stdout"),
    stderr: () => outcome.stderr,
    signal: (signal) => Effect.sync(() => child.kill(signal)),
    outcome: Deferred.await(ended)
  } satisfies Running
})

/** Runs `lottery` until it ends; interruption kills it. */
export const runLottery = (run: Run): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    const child = launch(run)
    const outcome = gather(
      child,
      () => resume(Effect.succeed(outcome)),
      () => run.onStderr?.(outcome.stderr, child)
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
