/** Random seals, for fast-check. */
import fc from "fast-check"
import type { SealedSource } from "../../src/domain/seal/NumberRule.ts"
import { timeOfRound } from "../../src/domain/seal/Quicknet.ts"
import type { Seal } from "../../src/domain/seal/Seal.ts"

const MARK_BYTES = 65_536
const HASH_BYTES = 32

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const hex = (length: number) => bytes(length).map((value) => Buffer.from(value).toString("hex"))

const book = fc
  .record({
    bets: fc.nat(1_000_000_000),
    rest: fc.nat(MARK_BYTES - 1),
    marks: fc.nat(3).chain((count) => bytes(count * HASH_BYTES)),
    sha256: hex(32),
    salt: hex(16)
  })
  .map(({ rest, ...book }) => ({
    ...book,
    bytes: (book.marks.length / HASH_BYTES) * MARK_BYTES + rest
  }))

const source: fc.Arbitrary<SealedSource> = fc.oneof(
  fc.record({ _tag: fc.constant("fixed" as const), number: fc.nat(9_999) }),
  fc.record({ _tag: fc.constant("announced" as const) }),
  fc.record({ _tag: fc.constant("drand" as const), round: fc.integer({ min: 1, max: 2 ** 40 }) })
)

/** A seal whose round, if it has one, is later than its time. */
export const randomSeal: fc.Arbitrary<Seal> = fc
  .record({
    draw: fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/),
    time: fc.nat(2 ** 31 - 1),
    source,
    numbers: fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 31 - 1 }), {
      minLength: 1,
      maxLength: 5
    }),
    books: fc.array(fc.option(book), { minLength: 5, maxLength: 5 })
  })
  .map(({ books, draw, numbers, source, time }) => ({
    draw,
    source,
    sealedAt: source._tag === "drand" ? Math.min(time, timeOfRound(source.round) - 1) : time,
    agencies: numbers
      .sort((a, b) => a - b)
      .map((agency, index) => ({ agency, ...(books[index] ?? {}) }))
  }))
