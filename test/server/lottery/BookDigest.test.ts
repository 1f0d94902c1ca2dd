/** Goal: the digest covers all stored bets, even those that were stored without its knowledge. */
import { randomUUID } from "node:crypto"
import { it } from "@effect/vitest"
import { Effect, Fiber, Semaphore } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { BookDigest } from "../../../src/server/lottery/BookDigest.ts"
import * as CsvStore from "../../../src/server/store/csv/CsvStore.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"

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
  const digest = new BookDigest(1, store, reading)
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
      expect(yield* current).toBe(whole(one, two).sha256)
      yield* append(2, three)
      expect(yield* current).toBe(whole(one, two, three).sha256)
    }).pipe(Effect.scoped)
  )

  it.live("starts again for the book that follows a discarded one", () =>
    Effect.gen(function* () {
      const { append, current, digest, store } = yield* setUp
      yield* append(0, one)
      expect(yield* current).toBe(whole(one).sha256)
      yield* store.discard(1, randomUUID())
      yield* append(0, two)
      expect(yield* current).toBe(whole(two).sha256)
      // A late addition to the discarded book.
      digest.add(0, 1, three)
      expect(yield* current).toBe(whole(two).sha256)
    }).pipe(Effect.scoped)
  )

  it.live("fails if the book grows while it is read, and is right afterwards", () =>
    Effect.gen(function* () {
      const { append, current, digest, store } = yield* setUp
      yield* append(0, one)
      const before = yield* store.progressOf(1)
      yield* append(1, two)
      expect((yield* Effect.flip(digest.of(before)))._tag).toBe("StoreUnavailable")
      expect(yield* current).toBe(whole(one, two).sha256)
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
      expect(yield* Fiber.join(digesting)).toBe(whole(one).sha256)
    }).pipe(Effect.scoped)
  )
})
