/** Goal: for any line endings and pieces, the bets are the same and bad lines are reported. */
import { it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { expect } from "vitest"
import { type BookOptions, BookParser } from "../../../src/client/book/BookParser.ts"
import { type BetBatch, BetBatchSchema } from "../../../src/domain/BetBatch.ts"

const OPTIONS = {
  name: "book",
  batchSize: 3,
  maxBatchBytes: 2000,
  skipBadLines: false,
  today: "2199-12-31"
}

const Cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })))

/** Splits bytes into pieces with the lengths in `cuts`, in a cycle. */
const piecesOf = (bytes: Uint8Array, cuts: ReadonlyArray<number>): Array<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  let at = 0
  for (let index = 0; at < bytes.length; index++) {
    const length = cuts.length === 0 ? bytes.length : cuts[index % cuts.length]!
    pieces.push(bytes.slice(at, at + length))
    at += length
  }
  return pieces
}

const parse = (book: string, cuts: ReadonlyArray<number>, options: Partial<BookOptions> = {}) => {
  const batches: Array<BetBatch> = []
  const parser = new BookParser({ ...OPTIONS, ...options }, (bets) => batches.push(bets.build()))
  for (const piece of piecesOf(Buffer.from(book), cuts)) parser.push(piece)
  parser.finish()
  return { parser, batches }
}

const LineEnd = Schema.Literals(["\n", "\r\n"])

it.effect.prop(
  "bets are unchanged",
  [BetBatchSchema, LineEnd, Schema.Boolean, Cuts],
  ([bets, lineEnd, open, cuts]) =>
    Effect.sync(() => {
      const rows = [...bets.rows()]
      const book = rows.map((row) => row + lineEnd).join("")
      const { batches, parser } = parse(open ? book.slice(0, book.length - 1) : book, cuts)
      expect(parser.failure).toBeUndefined()
      expect(batches.flatMap((batch) => [...batch.rows()])).toEqual(rows)
      for (const batch of batches) {
        expect(batch.count).toBeLessThanOrEqual(OPTIONS.batchSize)
        expect(batch.count).toBeGreaterThan(0)
        expect(batch.bytes.length).toBeLessThanOrEqual(OPTIONS.maxBatchBytes)
      }
    })
)

const BadLineText = Schema.Literals(["", "bad", "a,b,c,d", '"open', "x".repeat(1025), ",,,,"])

it.effect.prop(
  "a bad line is reported, or skipped with skipBadLines",
  [BetBatchSchema, BetBatchSchema, BadLineText, LineEnd, Cuts],
  ([before, after, bad, lineEnd, cuts]) =>
    Effect.sync(() => {
      const last = "Ana,Paz,1,1999-03-17,7"
      const good = [...before.rows(), ...after.rows(), last]
      const lines = [...good]
      lines.splice(before.count, 0, bad)
      const book = lines.map((line) => line + lineEnd).join("")
      expect(parse(book, cuts).parser.failure).toMatchObject({ line: before.count + 1 })
      const { batches, parser } = parse(book, cuts, { skipBadLines: true })
      expect(parser.badLines).toBe(1)
      expect(Buffer.concat(parser.rejected).toString()).toBe(bad + lineEnd)
      expect(batches.flatMap((batch) => [...batch.rows()])).toEqual(good)
    })
)
