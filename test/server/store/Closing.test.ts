/** Goal: an exclusion of many agencies is decided without a search of the draw for each of them. */
import { expect, it } from "vitest"
import { NO_PROGRESS } from "../../../src/server/store/BetStore.ts"
import { exclusionsOf } from "../../../src/server/store/Closing.ts"

const AGENCIES = 1000

it("reads the agencies of the draw a few times at most", () => {
  let reads = 0
  const all = Array.from({ length: AGENCIES }, (_, index) => index + 1)
  const agencies = new Proxy(all, {
    get: (target, key) => {
      reads++
      return Reflect.get(target, key)
    }
  })
  const draw = {
    agencies,
    source: { _tag: "announced" },
    closesAt: undefined,
    sealedAt: undefined,
    sealed: false,
    winningNumber: undefined,
    beacon: undefined,
    drawn: false
  } as const
  const asked = all.slice(0, -1)
  const expected = asked.map((agency) => ({ agency, bets: 0 }))
  expect(exclusionsOf(draw, () => NO_PROGRESS, asked)).toEqual(expected)
  expect(reads).toBeLessThan(5 * AGENCIES)
})
