/**
 * Goal: bets between separators are read as field by field, and written as they are read. Method:
 * random bets, of which some are unusual or invalid, and a separator after the last one or none.
 * Set LOTTERY_TEST_SEED to the seed of a failure to repeat it.
 */
import { Result } from "effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { BetBatchBuilder } from "../../src/domain/BetBatch.ts"
import { decodePlainRows, encodePlainRows } from "../../src/protocol/PlainRows.ts"

const seed = process.env.LOTTERY_TEST_SEED
const parameters = {
  numRuns: process.env.LOTTERY_TEST_LONG ? 100_000 : 3_000,
  ...(seed === undefined ? {} : { seed: Number(seed) })
}

const ordinary = (text: fc.Arbitrary<string>, unusual: ReadonlyArray<string>) =>
  fc.oneof({ weight: 20, arbitrary: text }, fc.constantFrom(...unusual))
const name = ordinary(fc.constantFrom("Ana", "Pérez", "x".repeat(100)), [
  "日",
  'a"b',
  "a,b",
  " ",
  ""
])
const bet = fc.tuple(
  name,
  name,
  ordinary(fc.constantFrom("1", "0123456789"), ["1a", ""]),
  ordinary(fc.constantFrom("1999-12-31", "2000-02-29"), ["1999-02-29", "1999-12-3"]),
  ordinary(fc.constantFrom("0", "7574"), ["007", "00", "10000", ""])
)
const bets = fc.array(bet, { maxLength: 6 })

/** The canonical rows of the bets, or the index of the first invalid one. */
const expected = (fields: ReadonlyArray<ReadonlyArray<string>>): Uint8Array | number => {
  const builder = new BetBatchBuilder()
  const invalid = fields.findIndex((texts) => builder.addTexts(texts) !== undefined)
  return invalid === -1 ? builder.build().bytes : invalid
}

describe.each([
  ["binary", { field: 0x3b, row: 0x3b }],
  ["JSON", { field: 0x2c, row: 0x0a }]
] as const)("the bets of %s messages", (_dialect, separators) => {
  const separator = String.fromCharCode(separators.field)
  const end = String.fromCharCode(separators.row)
  const textOf = (fields: ReadonlyArray<ReadonlyArray<string>>) =>
    fields.map((texts) => texts.join(separator) + end).join("")
  const representable = bets.filter((all) => !all.flat().some((text) => text.includes(separator)))

  it("are read as their fields", () => {
    fc.assert(
      fc.property(representable, fc.boolean(), (fields, isEnded) => {
        const text = textOf(fields)
        const bytes = Buffer.from(isEnded ? text : text.slice(0, -1))
        const before = Buffer.from(bytes)
        const read = decodePlainRows(bytes, separators)
        expect(bytes).toEqual(before)
        const wanted = expected(fields)
        if (typeof wanted === "number") {
          expect(Result.isFailure(read) && read.failure.index).toBe(wanted)
          return
        }
        const batch = Result.getOrThrow(read)
        expect(batch.count).toBe(fields.length)
        expect(Buffer.from(batch.bytes)).toEqual(Buffer.from(wanted))
        const written = encodePlainRows(batch, separators, { before: 3, after: 2 })
        const canonical = fields.map((texts) => [...texts.slice(0, 4), `${Number(texts[4])}`])
        const rows = Buffer.from(Result.getOrThrow(written)).subarray(3, -2)
        expect(rows.toString()).toBe(textOf(canonical))
      }),
      parameters
    )
  })
})
