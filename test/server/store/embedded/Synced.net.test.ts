/**
 * Goal: what an embedded store says is stored has been synced, also what a killed process wrote and
 * did not sync. Method: a process that writes both stores, under strace, which tells in one order
 * what is written, what is synced and what is said.
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

/** Runs the program on stores in folders of their own; `faults` are options of strace. */
const run = (folder: string, urls: ReadonlyArray<string>, ...faults: ReadonlyArray<string>) => {
  const trace = join(folder, "trace")
  const args = [...STRACE, "-o", trace, ...faults, process.execPath, PROGRAM, ...urls]
  const { stderr, stdout } = spawnSync("strace", args, { encoding: "utf8" })
  return { stderr, said: stdout.trimEnd().split("\n"), calls: readFileSync(trace, "utf8") }
}

/** Nothing rests on locks, on shared memory, and on what the log of SQLite is copied to. */
const IGNORED = /\.lock(-\w+)?$|-shm$|\.db$/

/**
 * Each line that was said, and each file that took the place of another, while something had been
 * written that was not synced. Of the files in `before` it is not known whether they are.
 */
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
  it.live("have synced all that is stored, and what is found, before they say so", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [sqlite, csv] = [join(folder, "sqlite"), join(folder, "csv")]
      for (const each of [sqlite, csv]) mkdirSync(each)
      const urls = [`sqlite:${sqlite}/lottery.db`, `csv:${csv}/bets.csv`]

      const first = run(folder, urls)
      expect(first.stderr).toBe("")
      expect(first.said).toHaveLength(18)
      expect(tooEarly(first.calls)).toEqual([])
      // Without its syncs the same trace says so of each line.
      expect(tooEarly(first.calls.replaceAll(/.*sync.*\n/g, "")).length).toBeGreaterThan(17)

      // That process was killed, and may have written what it found no time to sync.
      const left = [sqlite, csv, `${sqlite}/lottery.db-wal`, `${csv}/bets.csv`]
      const second = run(folder, urls)
      expect(second.said).toEqual(["sqlite: opened with 2", "csv: opened with 2"])
      expect(tooEarly(second.calls, ...left)).toEqual([])

      // SQLite itself does not look whether the folder of its log could be synced.
      const third = run(folder, urls.slice(0, 1), "-P", sqlite, "-e", "inject=fsync:error=EIO")
      expect(third).toMatchObject({ stderr: expect.stringContaining("EIO"), said: [""] })
    }).pipe(Effect.scoped)
  )
})
