/**
 * Goal: without `--yes`, a command of an operator says only what it would really do. Method: the
 * built command on a store that no server has open.
 */
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import { fixedNumber } from "../../../src/domain/Draw.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { bets } from "../../server/store/BetStore.conformance.ts"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const fill = Effect.gen(function* () {
  const store = yield* BetStore
  yield* store.openDraw({ agencies: [1, 2, 3, 4], source: fixedNumber(7574) })
  yield* store.append(3, 0, bets(3, 0, 7))
  yield* store.exclude([2])
})

it.live("lottery close names only agencies that are not excluded yet", () =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "store.db")
    yield* Effect.provide(fill, StoreUrl.layer({ _tag: "sqlite", path }, "default"))
    const close = (agencies: string) =>
      runLottery({ args: ["close", "--store", `sqlite:${path}`, "--without", agencies] })

    const both = yield* close("2,3")
    expect(both.stderr).toContain(
      "this would exclude agency 3 (7 stored bets) from the draw, which"
    )
    expect(both.code).toBe(2)
    const none = yield* close("2")
    expect(none.stderr).toContain("cantidad: 0 | hint: agency 2 was excluded before")
    expect(none.code).toBe(0)
    const unknown = yield* close("9")
    expect(unknown.stderr).toContain("agency 9 is not in the draw")
    expect(unknown.code).toBe(1)
  })
)
