/**
 * Goal: everything that an embedded store acknowledges or reports is synced, including the unsynced
 * writes of a killed process. Method: a process uses both stores under strace, which shows writes,
 * syncs and output in one order.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const PROGRAM = join(import.meta.dirname, "../../../support/processes/acknowledgeStores.ts")
const CALLS = "trace=write,pwrite64,ftruncate,rename,fsync,fdatasync"
const STRACE = ["-f", "--seccomp-bpf", "-y", "-z", "-qqq", "-e", CALLS]

const canTrace = spawnSync("strace", [...STRACE, "-o", "/dev/null", "true"]).status === 0

/** Runs the program on separate stores. `faults` are options of strace. */
const run = (folder: string, urls: ReadonlyArray<string>, ...faults: ReadonlyArray<string>) => {
  const trace = join(folder, "trace")
  const args = [...STRACE, "-o", trace, ...faults, process.execPath, PROGRAM, ...urls]
  const { stderr, stdout } = spawnSync("strace", args, { encoding: "utf8" })
  return { stderr, said: stdout.trimEnd().split("\n"), calls: readFileSync(trace, "utf8") }
}

/** Locks, shared memory, and the database that SQLite copies its log to need no sync. */
const IGNORED = /\.lock(-\w+)?$|-shm$|\.db$/

/** Lists each output and each rename that came before the sync of a write or of `before`. */
const tooEarly = (calls: string, ...before: ReadonlyArray<string>) => {
  const unsynced = new Set(before)
  return calls.split("\n").flatMap((line) => {
    const [, call, file = ""] = /^\d+ +(\w+)\((?:\d+<|")([^>"]*)/.exec(line) ?? []
    const isSaid = /^\d+ +write\(1</.test(line)
    const found = isSaid || call === "rename" ? [...unsynced] : []
    if (call === "fsync" || call === "fdatasync") unsynced.delete(file)
    else if (call === "rename") unsynced.add(dirname(file))
    else if (file.startsWith("/") && !IGNORED.test(file)) unsynced.add(file)
    return found.length > 0 ? [`${line}: ${found} not synced`] : []
  })
}

describe.skipIf(!canTrace)("the embedded stores under strace", () => {
  it.live("sync writes and recovered data before they report them", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [sqlite, csv] = [join(folder, "sqlite"), join(folder, "csv")]
      for (const each of [sqlite, csv]) mkdirSync(each)
      const urls = [`sqlite:${sqlite}/lottery.db`, `csv:${csv}/bets.csv`]

      const first = run(folder, urls)
      expect(first.stderr).toBe("")
      expect(first.said).toHaveLength(24)
      expect(tooEarly(first.calls)).toEqual([])
      // Checks the check: without its syncs, the trace must fail at each line.
      expect(tooEarly(first.calls.replaceAll(/.*sync.*\n/g, "")).length).toBeGreaterThan(21)

      // The process was killed, possibly between a write and its sync.
      const left = [sqlite, csv, `${sqlite}/lottery.db-wal`, `${csv}/bets.csv`]
      const second = run(folder, urls)
      expect(second.said).toEqual(["sqlite: opened with 2", "csv: opened with 2"])
      expect(tooEarly(second.calls, ...left)).toEqual([])

      // SQLite itself ignores a failed sync of the folder of its log.
      const third = run(folder, urls.slice(0, 1), "-P", sqlite, "-e", "inject=fsync:error=EIO")
      expect(third).toMatchObject({ stderr: expect.stringContaining("EIO"), said: [""] })
    }).pipe(Effect.scoped)
  )
})
