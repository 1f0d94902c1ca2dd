/**
 * Goal: what is found in a book does not depend on how it is read. Method: random books, good and
 * bad, in pieces of random sizes, compared with the book in one piece.
 */
import { it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { expect } from "vitest"
import { RowScan } from "../../../src/cli/verify/BookScan.ts"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"

const NUMBER = 6286

const scan = (pieces: Iterable<Uint8Array>) => {
  const rows = new RowScan(NUMBER)
  for (const piece of pieces) {
    rows.push(piece)
    // A reader uses the same memory for the next piece.
    piece.fill(0)
  }
  return rows.finish()
}

function* piecesOf(book: Uint8Array, sizes: readonly [number, ...Array<number>]) {
  for (let at = 0, index = 0; at < book.length; index++) {
    const size = sizes[index % sizes.length]!
    yield book.slice(at, at + size)
    at += size
  }
}

const Sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 90 })))
const Places = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5000 })))

it.effect.prop(
  "a book in pieces is the same book",
  [Schema.Array(Bet), Sizes, Places.check(Schema.isMaxLength(2))],
  ([bets, sizes, damaged]) =>
    Effect.sync(() => {
      const winners = bets.map((bet, index) =>
        index % 3 === 0 ? new Bet({ ...bet, number: NUMBER }) : bet
      )
      const book = Uint8Array.from(BetBatch.fromBets(winners).bytes)
      for (const place of damaged) if (place < book.length) book[place] = 0x3b
      const whole = scan([book.slice()])
      expect(scan(piecesOf(book, sizes))).toEqual(whole)
      if (whole.bad === undefined) {
        expect(whole.bets).toBe(bets.length)
        expect(whole.winners).toBe(winners.filter(({ number }) => number === NUMBER).length)
      }
    })
)
