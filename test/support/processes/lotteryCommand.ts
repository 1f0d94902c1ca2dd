/** Runs the built command as a process, as a person or a container does. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { delimiter, dirname, join } from "node:path"
import { Deferred, Effect, Exit } from "effect"

const ROOT = join(import.meta.dirname, "..", "..", "..")
export const COMMAND = join(ROOT, "dist", "lottery.cjs")
/** Hundreds of processes run the same file: it is compiled once. */
const COMPILE_CACHE = join(ROOT, "node_modules", ".cache", "lottery-tests")

/** How a process ended: its exit code, or null where a signal ended it, and its streams. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Run {
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** The folder that it starts in; the one of the tests otherwise. */
  readonly cwd?: string
  /** The Node that runs it; the one of the tests otherwise. */
  readonly node?: string
  /** What the command is run under, such as a tracer. */
  readonly under?: ReadonlyArray<string>
  /** Called as standard error grows, with all of it so far. */
  readonly onStderr?: (stderr: string, child: ChildProcess) => void
}

/** Settings of the machine must not decide a test. */
const environment = (extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  TZ: "UTC",
  NODE_COMPILE_CACHE: COMPILE_CACHE,
  ...extra
})

/** For `under`: runs these words, with the command's arguments, instead of the built command. */
export const instead = (words: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...["sh", "-c", `shift 2; exec ${words.map((word) => `'${word}'`).join(" ")} "$@"`, "sh"]
]

/** A PATH on which this Node is found first. */
export const pathWith = (node: string): string =>
  [dirname(node), "/usr/bin", "/bin"].join(delimiter)

/** A Node on this machine that is older than the one that is needed. */
export const olderNode: string | undefined = (process.env.PATH ?? "")
  .split(delimiter)
  .concat("/usr/bin", "/usr/local/bin")
  .map((folder) => join(folder, "node"))
  .find((path) => {
    const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8" })
    return typeof stdout === "string" && Number.parseInt(stdout.slice(1), 10) < 26
  })

/** A `lottery` that runs. */
export interface Running {
  readonly child: ChildProcess
  /** Waits until standard error matches; dies where the process ends before. */
  readonly logged: (pattern: RegExp) => Effect.Effect<RegExpExecArray>
  /** Standard error so far. */
  readonly stderr: () => string
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for its end. */
  readonly outcome: Effect.Effect<Outcome>
}

const launch = (run: Run) => {
  const [program, ...args] = [...(run.under ?? []), run.node ?? process.execPath, COMMAND]
  return spawn(program!, [...args, ...run.args], { env: environment(run.env), cwd: run.cwd })
}

/** Starts `lottery`, and kills it with the scope. */
export const startLottery = Effect.fnUntraced(function* (run: Run) {
  const ended = yield* Deferred.make<Outcome>()
  let stdout = ""
  let stderr = ""
  let look = () => {}
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => launch(run)),
    (process) => Effect.sync(() => process.kill("SIGKILL"))
  )
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
    look()
  })
  child.on("close", (code) => {
    Deferred.doneUnsafe(ended, Exit.succeed({ code, stdout, stderr }))
    look()
  })
  const logged = (pattern: RegExp) =>
    Effect.callback<RegExpExecArray>((resume) => {
      look = () => {
        const match = pattern.exec(stderr)
        if (match !== null) resume(Effect.succeed(match))
        else if (Deferred.isDoneUnsafe(ended)) {
          resume(Effect.die(new Error(`ended without ${pattern}: ${stderr}`)))
        }
      }
      look()
    })
  return {
    child,
    logged,
    stderr: () => stderr,
    signal: (signal) => Effect.sync(() => child.kill(signal)),
    outcome: Deferred.await(ended)
  } satisfies Running
})

/** Runs `lottery` to its end; kills it where the test is interrupted. */
export const runLottery = (run: Run): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    const child = launch(run)
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
      run.onStderr?.(stderr, child)
    })
    child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })
