/** Goal: the five real books have the known winners, in each dialect and a mix of them. */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import * as RealBooks from "../../support/realBooks.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

if (!RealBooks.areAtHand) console.warn("skipped: the real books are not at hand")

const cases = [
  ["native", "csv:bets.csv", ["native", "native", "native", "native", "native"]],
  ["binary", "sqlite:lottery.db", ["binary", "binary", "binary", "binary", "binary"]],
  ["json", "csv:bets.csv", ["json", "json", "json", "json", "json"]],
  ["mixed", "sqlite:lottery.db", ["json", "binary", "native", "binary", "json"]]
] as const

describe.skipIf(!RealBooks.areAtHand)("the real books", () => {
  for (const [name, store, dialects] of cases) {
    it.live(`in ${name} into ${store}`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* RealBooks.unpack(folder)
        const url = store.replace(":", `:${folder}/`)
        const server = yield* startLottery({
          args: ["server", "--host", "127.0.0.1", "--port", "0", "--store", url, "--once"]
        })
        const [, port, winnersPort] = yield* server.logged(
          /listen .*port: (\d+) \| winners_port: (\d+)/
        )
        yield* Effect.forEach(
          RealBooks.EXPECTED,
          Effect.fnUntraced(function* ({ agency, winners }) {
            const { code, stderr, stdout } = yield* runLottery({
              args: [
                "client",
                ...["--agency", `${agency}`, "--bets", join(folder, `agency-${agency}.csv`)],
                ...[
                  "--server",
                  `127.0.0.1:${port}`,
                  "--winners-server",
                  `127.0.0.1:${winnersPort}`
                ],
                ...["--dialect", dialects[agency - 1]!]
              ]
            })
            expect(code, stderr).toBe(0)
            expect(stdout.split("\n").length - 1).toBe(winners)
            expect(stderr).toContain(`cant_ganadores: ${winners} |`)
          }),
          { concurrency: "unbounded" }
        )
        expect((yield* server.outcome).code).toBe(0)
        for (const { agency, bets, sha256 } of RealBooks.EXPECTED) {
          const { stdout } = yield* runLottery({
            args: ["export", "--store", url, "--agency", `${agency}`]
          })
          expect(stdout.split("\n").length - 1).toBe(bets)
          expect(createHash("sha256").update(stdout).digest("hex")).toBe(sha256)
        }
        if (store.startsWith("csv:")) {
          const rows = readFileSync(join(folder, "bets.csv"), "utf8").split("\r\n")
          expect(rows.length - 1).toBe(78_697)
        }
      })
    )
  }
})
