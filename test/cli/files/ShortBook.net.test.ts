/**
 * Goal: the client of a short book does not start V8's last compiler, that of a long one does.
 * Method: the built command, traced by V8; both read the whole book and then refuse to send it.
 */
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const TRACED = ["sh", "-c", `node="$1"; shift; exec "$node" --trace-opt "$@"`, "sh"]

for (const { bets, isShort } of [
  { bets: 60_000, isShort: true },
  { bets: 100_000, isShort: false }
]) {
  it.live(`a book of ${bets} bets ${isShort ? "leaves TurboFan off" : "is worth TurboFan"}`, () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* runLottery({
        args: ["generate", "--agencies", "1,", "--bets", `${bets}`, "--out", folder]
      })
      const { stderr, stdout } = yield* runLottery({
        args: [
          ...["client", "--agency", "1", "--bets", join(folder, "agency-1.csv")],
          ...["--server", "127.0.0.1:1", "--expect", "1"]
        ],
        under: TRACED
      })
      expect(stderr).toContain(`expected 1 bets, got ${bets}`)
      expect(stdout).toContain("(target MAGLEV)")
      expect(stdout.includes("(target TURBOFAN_JS)")).toBe(!isShort)
    })
  )
}
