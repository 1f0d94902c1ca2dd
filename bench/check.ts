/**
 * Measures `lottery check` on generated books of several lengths: its time, its processor time and
 * its maximum memory, and those of the client's first pass over the same book. (The client is told
 * to expect another number of bets, and stops after that pass.)
 *
 * node_modules/.bin/node bench/check.ts [rounds]
 */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import build from "../test/support/processes/buildCommand.ts"
import { COMMAND } from "../test/support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { books } from "./measure/Lottery.ts"
import * as Machine from "./measure/Machine.ts"
import * as Program from "./measure/Program.ts"
import { inTurns, medianOf } from "./measure/Turns.ts"

const ROUNDS = Number(process.argv[2] ?? 5)
const LENGTHS = [100_000, 1_000_000, 5_000_000]
/** Writes a process's resource usage to a file when it exits. */
const USAGE = join(import.meta.dirname, "plain", "usage.ts")

interface Figures {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly mib: number
}

/** Runs the command to its end, which must be the expected one. */
const measure = (folder: string, exitCode: number, args: ReadonlyArray<string>) =>
  Effect.suspend(() => {
    const file = join(folder, "usage.json")
    const env = { ...Program.environment(), BENCH_USAGE: file }
    const begin = performance.now()
    const { status } = spawnSync(process.execPath, ["--import", USAGE, COMMAND, ...args], {
      env,
      stdio: "ignore"
    })
    const seconds = (performance.now() - begin) / 1000
    if (status !== exitCode) {
      const message = `${args.join(" ")} exited with ${status}`
      return Effect.fail(new Program.ProgramFailed({ message }))
    }
    const usage = JSON.parse(readFileSync(file, "utf8")) as NodeJS.ResourceUsage
    const cpuSeconds = (usage.userCPUTime + usage.systemCPUTime) / 1e6
    return Effect.succeed<Figures>({ seconds, cpuSeconds, mib: usage.maxRSS / 1024 })
  })

const main = Effect.gen(function* () {
  yield* Effect.promise(build)
  console.log((yield* Machine.describe).join("\n"))
  console.log(
    "bets | check s | client s | ratio | check CPU s | client CPU s | check MiB | client MiB"
  )
  for (const bets of LENGTHS) {
    const folder = yield* temporaryFolder
    const book = join(yield* books(folder, 1, bets), "agency-1.csv")
    const wrong = ["--agency", "1", "--expect", "0", "--bets", book]
    const rounds = yield* inTurns(ROUNDS, {
      check: measure(folder, 0, ["check", book]),
      client: measure(folder, 1, ["client", ...wrong])
    })
    const of = (name: "check" | "client", figure: keyof Figures) =>
      medianOf(rounds, (round) => round[name][figure])
    const ratio = medianOf(rounds, ({ check, client }) => check.seconds / client.seconds)
    console.log(
      [
        bets.toLocaleString("en"),
        ...[of("check", "seconds"), of("client", "seconds"), ratio].map((one) => one.toFixed(2)),
        ...[of("check", "cpuSeconds"), of("client", "cpuSeconds")].map((one) => one.toFixed(2)),
        ...[of("check", "mib"), of("client", "mib")].map((one) => one.toFixed(0))
      ].join(" | ")
    )
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
