/**
 * Goal: one forged winning row, anywhere in any book, is named with its bet and its piece. Method:
 * random books of several pieces, in which a row is put in or a number is changed, at random places
 * and around every mark.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { expect } from "vitest"
import * as ForgedBook from "../../../src/cli/verify/ForgedBook.ts"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { MARK_BYTES } from "../../../src/domain/seal/MarkedDigest.ts"
import { bookOf } from "../../support/sealed/SealedDraw.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const NUMBER = 6286

const rowOf = (bet: Bet): string => Buffer.from(BetBatch.fromBets([bet]).bytes).toString()

/** A book of more than two pieces, which repeats the rows. */
const longBook = (rows: ReadonlyArray<string>): ReadonlyArray<string> => {
  const bytes = Buffer.byteLength(rows.join(""))
  return Array.from({ length: Math.ceil((2.3 * MARK_BYTES) / bytes) }, () => rows).flat()
}

const locate = Effect.fnUntraced(
  function* (sealed: ReadonlyArray<string>, given: ReadonlyArray<string>) {
    const file = join(yield* temporaryFolder, "book")
    writeFileSync(file, given.join(""))
    const book = bookOf(3, sealed)
    return yield* ForgedBook.locate({
      about: "book 3",
      file,
      sealed: book,
      number: NUMBER,
      bad: undefined
    })
  },
  Effect.scoped,
  Effect.provide(NodeServices.layer)
)

/** Checks that only this bet is named, in the piece of the sealed book with its first byte. */
const expectNamed = Effect.fnUntraced(function* (
  sealed: ReadonlyArray<string>,
  given: ReadonlyArray<string>,
  index: number,
  cause: "put in" | "number changed"
) {
  const found = yield* locate(sealed, given)
  expect(found).toHaveLength(1)
  const [check] = found
  if (check?.cause === "added at the end") {
    expect([index, cause]).toEqual([sealed.length, "put in"])
    return
  }
  // Equal rows next to each other are the same fraud.
  const isSame = (bet: number) => given[bet - 1] === given[index]
  expect(check).toMatchObject({ verdict: "forged", agency: 3, cause })
  expect(isSame(check!.bet!)).toBe(true)
  const differs = sealed.findIndex((row, at) => row !== given[at])
  const before = Buffer.byteLength(sealed.slice(0, differs).join(""))
  const [one, other] = [Buffer.from(sealed[differs]!), Buffer.from(given[differs] ?? "")]
  const equal = one.findIndex((byte, at) => byte !== other[at])
  const at = before + equal
  expect(check!.piece!.from).toBeLessThanOrEqual(at)
  expect(check!.piece!.to).toBeGreaterThan(at)
})

const put = (rows: ReadonlyArray<string>, index: number, row: string) =>
  expectNamed(rows, rows.toSpliced(index, 0, row), index, "put in")

const changed = (rows: ReadonlyArray<string>, index: number) => {
  const forged = rows[index]!.replace(/\d+\n$/, `${NUMBER}\n`)
  return forged === rows[index]
    ? Effect.void
    : expectNamed(rows, rows.with(index, forged), index, "number changed")
}

const Place = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 30 }))
const Bets = Schema.NonEmptyArray(Bet).check(Schema.isMaxLength(40))

it.effect.prop(
  "a winner put in anywhere in any book is named",
  [Bets, Bet, Place],
  ([bets, bet, place]) => {
    const rows = longBook(bets.map(rowOf))
    const winner = rowOf(new Bet({ ...bet, number: NUMBER }))
    return put(rows, place % (rows.length + 1), winner)
  },
  { arbitrary: { runs: 60 } }
)

it.effect.prop(
  "a number changed anywhere in any book is named",
  [Bets, Place],
  ([bets, place]) => {
    const rows = longBook(bets.map(rowOf))
    return changed(rows, place % rows.length)
  },
  { arbitrary: { runs: 12 } }
)

const PLAIN = Array.from(
  { length: 4500 },
  (_, index) => `Ana,Pérez,${index},1999-03-17,${(7 * index) % 5000}\n`
)

/** The row in which the first mark lies, and how many of its bytes lie behind the mark. */
const atMark = (rows: ReadonlyArray<string>) => {
  let bytes = 0
  const index = rows.findIndex((row) => {
    bytes += Buffer.byteLength(row)
    return bytes > MARK_BYTES
  })
  return { index, behind: bytes - MARK_BYTES }
}

/** Bytes of a number and its LF, and one more: trying all numbers takes time. */
const NUMBER_BYTES = 6

it.effect("a forged row at a mark is named, wherever in it the mark lies", () =>
  Effect.gen(function* () {
    for (let bytes = 1; bytes <= 32; bytes++) {
      // The first row moves the others, so that the mark lies at every place of a row.
      const rows = [`${"A".repeat(bytes)},Pérez,1,1999-03-17,1\n`, ...PLAIN]
      const { behind, index } = atMark(rows)
      if (behind <= NUMBER_BYTES) yield* changed(rows, index)
      for (const at of [index - 1, index, index + 1]) {
        yield* put(rows, at, `Ana,Pérez,${at},1999-03-17,${NUMBER}\n`)
      }
    }
  })
)

it.effect("names each of several", () =>
  Effect.gen(function* () {
    const winner = (index: number) => `Ana,Pérez,${index},1999-03-17,${NUMBER}\n`
    const given = PLAIN.with(4400, winner(4400)).toSpliced(2600, 0, winner(1)).with(3, winner(3))
    const found = yield* locate(PLAIN, given)
    expect(found.map(({ bet, cause }) => [bet, cause])).toEqual([
      [4, "number changed"],
      [2601, "put in"],
      [4402, "number changed"]
    ])
  })
)

it.effect("names rows put in and a changed number in the same piece", () =>
  Effect.gen(function* () {
    const winner = (index: number) => `Ana,Pérez,${index},1999-03-17,${NUMBER}\n`
    const put = [
      { row: winner(77), at: 900 },
      { row: winner(78), at: 1700 }
    ]
    for (const index of [899, 1500]) {
      const given = [...PLAIN.with(index, winner(index))]
      for (const { at, row } of put.toReversed()) given.splice(at, 0, row)
      const found = yield* locate(PLAIN, given)
      const before = put.filter(({ at }) => at <= index).length
      const changed = [index + before + 1, "number changed"]
      const expected = [[901, "put in"], [1702, "put in"], changed]
      expect(found.map(({ bet, cause }) => [bet, cause])).toEqual(
        expected.sort(([one], [other]) => Number(one) - Number(other))
      )
    }
  })
)
