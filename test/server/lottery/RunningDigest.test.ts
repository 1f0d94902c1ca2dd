/** Goal: the digest covers all stored bets, even those that were stored without its knowledge. */
import { randomUUID } from "node:crypto"
import { it } from "@effect/vitest"
import { Effect, Fiber, Semaphore } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { RunningDigest } from "../../../src/server/lottery/RunningDigest.ts"
import * as CsvStore from "../../../src/server/store/csv/CsvStore.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"
import { bets } from "../store/BetStore.conformance.ts"

const batchOf = (document: number) =>
  BetBatch.fromBets([
    new Bet({
      firstName: "Ana",
      lastName: "Perez",
      document: String(document),
      birthdate: "1999-03-17",
      number: 1
    })
  ])
const [one, two, three] = [batchOf(1), batchOf(2), batchOf(3)]

const setUp = Effect.gen(function* () {
  const path = `${yield* temporaryFolder}/bets.csv`
  const store = yield* CsvStore.make({ path, drawId: "default" })
  const reading = yield* Semaphore.make(1)
  const digest = new RunningDigest(1, store, reading)
  const append = (bets: number, batch: BetBatch) => store.append(1, bets, batch)
  const current = Effect.flatMap(store.progressOf(1), (progress) => digest.of(progress))
  return { store, reading, digest, append, current }
})

describe("the digest of a book", () => {
  it.live("reads the bets that others stored before and after its own", () =>
    Effect.gen(function* () {
      const { append, current, digest } = yield* setUp
      yield* append(0, one)
      yield* append(1, two)
      digest.add(0, 1, two)
      expect(yield* current).toEqual(whole(one, two))
      yield* append(2, three)
      expect(yield* current).toEqual(whole(one, two, three))
    }).pipe(Effect.scoped)
  )

  it.live("has the marks of a long book, however its bets came", () =>
    Effect.gen(function* () {
      const { append, current, digest, store } = yield* setUp
      const [first, second, rest] = [bets(1, 0, 3000), bets(1, 3000, 2000), bets(1, 5000, 500)]
      const book = whole(first, second)
      expect(book.marks.length).toBeGreaterThan(2 * 32)
      yield* append(0, first)
      // It reads the first bets from the store, and gets the others as they arrive.
      expect(yield* current).toEqual(whole(first))
      yield* append(3000, second)
      digest.add(0, 3000, second)
      expect(yield* current).toEqual(book)
      expect(yield* digest.of(yield* store.progressOf(1), rest)).toEqual(whole(first, second, rest))
      expect(yield* current).toEqual(book)
    }).pipe(Effect.scoped)
  )

  it.live("starts again for the book that follows a discarded one", () =>
    Effect.gen(function* () {
      const { append, current, digest, store } = yield* setUp
      yield* append(0, one)
      expect(yield* current).toEqual(whole(one))
      yield* store.discard(1, randomUUID())
      yield* append(0, two)
      expect(yield* current).toEqual(whole(two))
      // A late addition to the discarded book.
      digest.add(0, 1, three)
      expect(yield* current).toEqual(whole(two))
    }).pipe(Effect.scoped)
  )

  it.live("fails if the book grows while it is read, and is right afterwards", () =>
    Effect.gen(function* () {
      const { append, current, digest, store } = yield* setUp
      yield* append(0, one)
      const before = yield* store.progressOf(1)
      yield* append(1, two)
      expect((yield* Effect.flip(digest.of(before)))._tag).toBe("StoreUnavailable")
      expect(yield* current).toEqual(whole(one, two))
    }).pipe(Effect.scoped)
  )

  it.live("waits for a permit before it reads the book into memory", () =>
    Effect.gen(function* () {
      const { append, current, reading } = yield* setUp
      yield* append(0, one)
      yield* reading.take(1)
      const digesting = yield* Effect.forkChild(current, { startImmediately: true })
      yield* Effect.sleep("20 millis")
      expect(digesting.pollUnsafe()).toBeUndefined()
      yield* reading.release(1)
      expect(yield* Fiber.join(digesting)).toEqual(whole(one))
    }).pipe(Effect.scoped)
  )
})
