/**
 * Measures `lottery verify` over the sealed books of a draw, in turns with `sha256sum` over the
 * same files: the time of each, and the maximum memory of `lottery verify`.
 *
 * node_modules/.bin/node bench/verify.ts [rounds] [bets of each of five books]
 */
import { spawnSync } from "node:child_process"
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Console, Effect } from "effect"
import { MarkedHash } from "../src/domain/seal/MarkedDigest.ts"
import { showKey } from "../src/protocol/notes/SignedNote.ts"
import build from "../test/support/processes/buildCommand.ts"
import { COMMAND } from "../test/support/processes/lotteryCommand.ts"
import { operator, vectorBytes } from "../test/support/SealVectors.ts"
import * as Sealed from "../test/support/sealed/SealedDraw.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { books } from "./measure/Lottery.ts"
import * as Machine from "./measure/Machine.ts"
import * as Program from "./measure/Program.ts"
import { inTurns, medianOf } from "./measure/Turns.ts"
import * as PerformanceTable from "./report/PerformanceTable.ts"

const ROUNDS = Number(process.argv[2] ?? 7)
const BETS = Number(process.argv[3] ?? 2_000_000)
const AGENCIES = [1, 2, 3, 4, 5]
/** Writes a process's resource usage to a file when it exits. */
const USAGE = join(import.meta.dirname, "plain", "usage.ts")

interface Run {
  readonly seconds: number
}

/** Runs a program to its end, which must be good. */
const timed = (command: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv) =>
  Effect.suspend(() => {
    const begin = performance.now()
    const { status } = spawnSync(command, args, { env, stdio: "ignore" })
    const seconds = (performance.now() - begin) / 1000
    const message = `${command} ${args.join(" ")} exited with ${status}`
    return status === 0
      ? Effect.succeed<Run>({ seconds })
      : Effect.fail(new Program.ProgramFailed({ message }))
  })

/**
 * Digests a file in parts: a program's maximum memory on Linux counts that of the process that
 * started it, which must therefore stay small.
 */
const digestOf = (file: string) => {
  const hash = new MarkedHash()
  const part = Buffer.alloc(1024 * 1024)
  const opened = openSync(file, "r")
  for (let count = 1; count > 0; ) {
    count = readSync(opened, part)
    hash.update(part.subarray(0, count))
  }
  closeSync(opened)
  return hash.digest()
}

/** Writes each generated book in its canonical form, and the seal; returns the arguments. */
const seal = (folder: string, generated: string): ReadonlyArray<string> => {
  const sealed = AGENCIES.map((agency) => {
    const book = join(folder, `book-${agency}`)
    const from = join(generated, `agency-${agency}.csv`)
    spawnSync("sh", ["-c", `tr -d '\\r' < "$1" > "$2"`, "sh", from, book])
    return { ...digestOf(book), agency, bets: BETS, salt: "5a".repeat(16) }
  })
  const file = join(folder, "default.seal")
  writeFileSync(file, Sealed.signed(Sealed.sealOf(sealed)).file)
  return ["--seal-vkey", showKey(operator), "--seal", file]
}

const main = Effect.gen(function* () {
  yield* Effect.promise(build)
  const folder = yield* temporaryFolder
  const args = seal(folder, yield* books(folder, AGENCIES.length, BETS))
  const files = AGENCIES.map((agency) => join(folder, `book-${agency}`))
  const given = AGENCIES.flatMap((agency, index) => ["--book", `${agency}=${files[index]}`])
  const beacon = ["--beacon", join(folder, "round.json")]
  writeFileSync(join(folder, "round.json"), vectorBytes("round-1000.json"))
  const env = Program.environment()
  const usage = join(folder, "usage.json")
  const rounds = yield* inTurns(ROUNDS, {
    verify: timed(process.execPath, [COMMAND, "verify", ...args, ...beacon, ...given], env),
    sha256sum: timed("sha256sum", files, env)
  })
  const measured = { ...env, BENCH_USAGE: usage }
  const command = ["--import", USAGE, COMMAND, "verify", ...args, ...beacon, ...given]
  yield* timed(process.execPath, command, measured)
  const { maxRSS } = JSON.parse(readFileSync(usage, "utf8")) as NodeJS.ResourceUsage
  const memory = maxRSS * 1024
  const ratio = medianOf(rounds, ({ sha256sum, verify }) => verify.seconds / sha256sum.seconds)
  const bets = AGENCIES.length * BETS
  const lines: ReadonlyArray<PerformanceTable.Line> = [
    {
      what: `lottery verify over ${bets.toLocaleString("en")} bets`,
      measured: `${PerformanceTable.shown(medianOf(rounds, ({ verify }) => verify.seconds))} s`,
      comparedWith: `sha256sum: ${PerformanceTable.shown(
        medianOf(rounds, ({ sha256sum }) => sha256sum.seconds)
      )} s`,
      ratio,
      target: PerformanceTable.atMost(ratio, 2)
    },
    {
      what: "its memory",
      measured: `${PerformanceTable.megabytes(memory)} at most`,
      target: PerformanceTable.atMostMegabytes(memory, 200)
    }
  ]
  const about = yield* Machine.describe
  const table = PerformanceTable.toText([{ title: "Verifying a sealed draw", lines }])
  yield* Console.log([...about, table].join("\n"))
}).pipe(Effect.scoped)

await Effect.runPromise(main)
