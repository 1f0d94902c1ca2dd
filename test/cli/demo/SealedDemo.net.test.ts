/**
 * Goal: `lottery demo --sealed` ends with the seal, what the verification says of it, and a fraud
 * that is named. Method: the built command.
 */
import { mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

describe("lottery demo --sealed", () => {
  it.live.each([
    {
      bets: 0,
      forged: "goes on after the end of the sealed book, at bet 1: 36 bytes with 1 winner"
    },
    { bets: 3000, forged: "in the sealed bytes 65536 to 131072: a winner was put in" }
  ])(
    "seals a draw of $bets bets, verifies it and names the bet that was put in",
    ({ bets, forged }) =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        mkdirSync(join(folder, "tmp"))
        const { code, stderr, stdout } = yield* runLottery({
          args: ["demo", "--sealed", "--clients", "2", "--bets", `${bets}`],
          env: { TMPDIR: join(folder, "tmp") }
        })
        expect(code, stderr).toBe(0)
        const [table = "", seal = "", honest = "", fraud = ""] = stdout.split(
          /^(?:The seal, signed .*|What lottery verify .*|And after .*):$/m
        )
        expect(table).toContain("the winning number is announced once the books are sealed")
        expect(seal).toMatch(
          new RegExp(`^ {2}lottery-seal/v1 demo 2 ${2 * bets} \\d+ announced$`, "m")
        )
        expect(seal).toMatch(/^ {2}— lottery\.example \S+$/m)
        expect(honest).toContain("verdict: everything that was given fits")
        expect(honest).not.toMatch(/^ *(forged|wrong)/m)
        expect(fraud).toContain(forged)
        expect(fraud).toContain('"Ana,Pérez,30904465,1999-03-17,7574"')
        expect(fraud).toContain("verdict: it does not fit")
        expect(readdirSync(join(folder, "tmp"))).toEqual([])
      }),
    60_000
  )
})
