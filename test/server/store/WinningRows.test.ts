/**
 * Goal: winning rows become canonical rows, and a row that is not a bet is named. Method: rows as a
 * store selects them, some of them changed.
 */
import { describe, expect, it } from "@effect/vitest"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { type WinningRow, winnersOf } from "../../../src/server/store/WinningRows.ts"

const rowOf = (agency: number, position: number, changed: Partial<WinningRow> = {}) => ({
  agency,
  position,
  first_name: "María José",
  last_name: 'O"Hara, the 2nd',
  document: "000100003",
  birthdate: "1990-02-28",
  number: 7,
  ...changed
})

describe("winnersOf", () => {
  it("returns each agency's rows in order, quoted only if they have to be", () => {
    const rows = [rowOf(1, 3), rowOf(1, 9, { last_name: "Peña" }), rowOf(20, 0, { number: 0 })]
    const winners = [...winnersOf(rows)].map(([agency, bets]) => [
      agency,
      bets instanceof BetBatch && [bets.count, Buffer.from(bets.bytes).toString()]
    ])
    const quoted = 'María José,"O""Hara, the 2nd",000100003,1990-02-28'
    expect(winners).toEqual([
      [1, [2, `${quoted},7\nMaría José,Peña,000100003,1990-02-28,7\n`]],
      [20, [1, `${quoted},0\n`]]
    ])
  })

  it.each<[Partial<WinningRow>, string]>([
    [{ document: "12a" }, 'document: expected 1 to 10 digits, got "12a"'],
    [
      { first_name: "Ana\n" },
      'first name: expected no control characters or line breaks, got "Ana\\n"'
    ],
    [{ number: -1 }, 'number: expected 1 to 4 digits, got "-1"']
  ])("names the first row of an agency that is not a bet: %j", (changed, reason) => {
    const winners = winnersOf([
      rowOf(1, 3),
      rowOf(1, 5, changed),
      rowOf(1, 7, changed),
      rowOf(2, 0)
    ])
    expect(winners.get(1)).toMatchObject({ _tag: "DamagedBet", agency: 1, position: 5, reason })
    expect(winners.get(2)).toMatchObject({ count: 1 })
  })
})
