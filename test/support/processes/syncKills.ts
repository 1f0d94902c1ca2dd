/** Kills a process at one of its data syncs or renames, which strace counts. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { Effect } from "effect"

/** Renames too: a kill before one differs from a kill after it. */
const CALLS = ["fsync", "fdatasync", "rename"] as const
export type Kill = readonly [call: (typeof CALLS)[number], nth: number]

/**
 * Options that write a trace to a file, or kill at a call. Without `--seccomp-bpf`, with which
 * strace sends no such signal.
 */
export const tracing = (to: string | Kill) => [
  ...["-f", "-e", `trace=${CALLS}`],
  ...(typeof to === "string"
    ? ["-o", to]
    : ["-o", "/dev/null", "-e", `inject=${to[0]}:signal=SIGKILL:when=${to[1]}`])
]
/** Whether strace may attach to a process that it has not started. */
export const canTrace =
  spawnSync("sh", ["-c", "sleep 0.1 & strace -qq -o /dev/null -p $!"]).status === 0

/** Strace counts the calls of each thread, so that there must be one for the disk. */
export const COUNTABLE = { UV_THREADPOOL_SIZE: "1" }

/** Traces a running process, or kills it at a call from now on. */
export const attach = Effect.fnUntraced(function* (child: ChildProcess, to: string | Kill) {
  const tracer = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("strace", [...tracing(to), "-p", `${child.pid}`])),
    (started) => Effect.sync(() => started.kill("SIGKILL"))
  )
  yield* Effect.callback<void>((resume) => {
    tracer.stderr.on("data", (text) => {
      if (/attached/.test(`${text}`)) resume(Effect.void)
    })
    tracer.once("exit", () => resume(Effect.die(new Error("strace did not attach"))))
  })
})

/** Lists the calls in a trace, each as the number of its kind. Threads count separately. */
export const killsIn = (trace: string): ReadonlyArray<Kill> =>
  CALLS.flatMap((call) => {
    const counts = new Map<string, number>()
    for (const [line, thread] of trace.matchAll(new RegExp(`^(\\d+) +${call}\\(.*`, "gm"))) {
      // The names of temporary files are not known in advance. Node renames files of its cache.
      const isOther = call === "rename" ? !line.includes(".csv") : /\.(lock.*|tmp)>/.test(line)
      if (isOther) continue
      counts.set(thread!, (counts.get(thread!) ?? 0) + 1)
    }
    const most = Math.max(0, ...counts.values())
    return Array.from({ length: most }, (_, index) => [call, index + 1] as const)
  })
