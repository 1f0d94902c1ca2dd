/**
 * Goal: whoever has the files of a real sealed draw can verify it, and sees what its operator
 * forges afterwards. Method: the built server and clients hold a draw; `lottery verify` gets what
 * the commands write and the clients keep, and then a store in which a number was changed.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { generate, startServer } from "../../support/processes/lotteryParties.ts"
import { SEAL_VKEY, sealFlags } from "../../support/sealKey.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const AGENCIES = [1, 2]
const BETS = 3000
const NUMBER = 7574

it.live("a real draw verifies, and a number that is changed afterwards is named", () =>
  Effect.gen(function* () {
    const cwd = yield* temporaryFolder
    const database = join(cwd, "lottery.db")
    const store = `sqlite:${database}`
    yield* generate(cwd, BETS, 7, AGENCIES.length)
    const run = (...args: ReadonlyArray<string>) => runLottery({ args, cwd })
    const of = ["--store", store, "--draw", "sunday"]
    const terms = ["--agencies", "2", "--draw", "sunday", "--winning-number", `${NUMBER}`, "--once"]
    const server = yield* startServer({ store, more: [...terms, ...sealFlags(cwd)] })
    yield* Effect.forEach(
      AGENCIES,
      (agency) =>
        Effect.map(
          run(
            ...["client", "--agency", `${agency}`, "--draw", "sunday", "--seal-vkey", SEAL_VKEY],
            ...["--bets", `agency-${agency}.csv`, "--server", `127.0.0.1:${server.port}`],
            ...["--evidence", "kept"]
          ),
          ({ code, stderr }) => expect(code, stderr).toBe(0)
        ),
      { concurrency: "unbounded" }
    )
    expect((yield* server.outcome).code).toBe(0)

    const exportBooks = Effect.forEach(AGENCIES, (agency) =>
      Effect.map(run("export", ...of, "--agency", `${agency}`), ({ stdout }) =>
        writeFileSync(join(cwd, `book-${agency}`), stdout)
      )
    )
    yield* run("seal", ...of, "--out", "seal")
    yield* run("result", ...of, "--out", "result")
    yield* exportBooks
    const verify = run(
      ...["verify", "--seal-vkey", SEAL_VKEY, "--seal", "seal", "--result", "result"],
      ...["--evidence", "kept", "--book", "1=book-1", "--book", "2=book-2"],
      ...["--own", "1=agency-1.csv", "--own", "2=agency-2.csv"]
    )
    const honest = yield* verify
    expect(honest).toMatchObject({ code: 0, stderr: "" })
    const unproven = honest.stdout.match(/^not proven: .*$/gm)
    expect(unproven).toEqual([
      "not proven: order: that the seal came before the number (7574 was fixed from the start)"
    ])

    const opened = new DatabaseSync(database)
    const { changes } = opened
      .prepare("update bets set number = ? where agency = 2 and position = 1999")
      .run(NUMBER)
    opened.close()
    expect(changes).toBe(1)
    yield* exportBooks
    const { code, stdout } = yield* verify
    expect(code).toBe(1)
    expect(stdout).toMatch(/^forged: book 2: bet 2000 of book-2, .* a number was changed: /m)
    expect(stdout).toMatch(/^forged: own copy 2: bet 2000 is the first that differs: /m)
    expect(stdout).not.toMatch(/^forged: .* 1: /m)
  }).pipe(Effect.scoped)
)
