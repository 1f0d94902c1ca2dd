/** Goal: the effects of an upload on other connections to the same book, and on the store. */
import { randomUUID } from "node:crypto"
import { it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Latch, Semaphore } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { ConnectionLost, type PeerConnection } from "../../../src/protocol/PeerConnection.ts"
import { Book, type Superseded } from "../../../src/server/lottery/Book.ts"
import * as Upload from "../../../src/server/lottery/Upload.ts"
import {
  type BetStore,
  type Discarded,
  type Excluded,
  StoreUnavailable
} from "../../../src/server/store/BetStore.ts"
import * as CsvStore from "../../../src/server/store/csv/CsvStore.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"
import { bets } from "../store/BetStore.conformance.ts"

const bet = (document: string, number = 1) =>
  new Bet({ firstName: "Ana", lastName: "Perez", document, birthdate: "1999-03-17", number })

const batchOf = (...documents: ReadonlyArray<string>) =>
  BetBatch.fromBets(documents.map((document) => bet(document)))

const VOID: Effect.Effect<unknown> = Effect.void

const setUp = Effect.gen(function* () {
  const path = `${yield* temporaryFolder}/bets.csv`
  const stored = yield* CsvStore.make({ path, drawId: "default" })
  const disk = { isFull: false, booksRead: 0, slow: VOID, page: VOID, largestPage: 0 }
  const unlessFull = <A, E>(write: Effect.Effect<A, E>) =>
    Effect.suspend((): Effect.Effect<A, E | StoreUnavailable> => {
      if (disk.isFull) return Effect.fail(new StoreUnavailable({ reason: "full" }))
      return Effect.andThen(disk.slow, write)
    })
  const store: BetStore["Service"] = {
    ...stored,
    append: (...write) => unlessFull(stored.append(...write)),
    finish: (...write) => unlessFull(stored.finish(...write)),
    page: (agency, range) => {
      disk.largestPage = Math.max(disk.largestPage, range.until - range.from)
      return Effect.andThen(disk.page, stored.page(agency, range))
    },
    book: (...from) => {
      disk.booksRead++
      return stored.book(...from)
    }
  }
  const [comparing, digesting] = [yield* Semaphore.make(1), yield* Semaphore.make(1)]
  const book = new Book(1, store, { comparing, digesting })
  const comeOn = Effect.fnUntraced(function* (
    lost: PeerConnection["lost"],
    onFinished: (bets?: number) => Effect.Effect<void> = () => Effect.void
  ) {
    const mustLeave = yield* Deferred.make<never, Superseded | Discarded | Excluded>()
    const connection = { ip: "10.0.0.1", mustLeave, lost }
    yield* book.enter(connection)
    const upload = Upload.make(book, connection, yield* store.progressOf(1), onFinished)
    const send = (batch: BetBatch, last = false) =>
      upload.storeFromStart(batch, last, () => Effect.void)
    return { upload, send, isGone: () => Deferred.isDoneUnsafe(mustLeave) }
  })
  return { come: comeOn(Effect.never), comeOn, disk, store }
})

/** Delays writes: `begun` waits until one is delayed, and `free` lets them continue. */
const holdWrites = Effect.fnUntraced(function* (disk: { slow: Effect.Effect<unknown> }) {
  const begun = yield* Latch.make()
  const free = yield* Latch.make()
  disk.slow = Effect.andThen(begun.open, free.await)
  return { begun: begun.await, free: free.open }
})

describe("a resumed upload", () => {
  it.live("appends at its own position only, even if another connection has stored more bets", () =>
    Effect.gen(function* () {
      const { come } = yield* setUp
      const [{ upload }, other] = [yield* come, yield* come]
      yield* upload.resume
      yield* other.send(batchOf("1", "2"))
      const append = (position: number) =>
        Effect.flip(upload.append(position, batchOf("3"), () => Effect.void))
      expect(yield* append(2)).toMatchObject({ _tag: "Conflict", position: 2, expected: 0 })
      expect(yield* append(0)).toMatchObject({ _tag: "Conflict", position: 0, expected: 2 })
    }).pipe(Effect.scoped)
  )
})

describe("a commit", () => {
  it.live("is acknowledged even if the connection is interrupted meanwhile", () =>
    Effect.gen(function* () {
      const { come, disk } = yield* setUp
      const { upload } = yield* come
      const { begun, free } = yield* holdWrites(disk)
      let answers = 0
      const store = upload.storeFromStart(batchOf("1"), false, () => Effect.sync(() => answers++))
      const storing = yield* Effect.forkChild(store)
      yield* begun
      const stopping = yield* Effect.forkChild(Fiber.interrupt(storing), { startImmediately: true })
      yield* free
      yield* Fiber.join(stopping)
      expect([answers, upload.position()]).toEqual([1, 1])
    }).pipe(Effect.scoped)
  )

  it.live.each(["the last batch", "no bets", "a digest"])(
    "that finishes a book stores the digest of all its bets: with %s",
    (how) =>
      Effect.gen(function* () {
        const { come, store } = yield* setUp
        const [first, last] = [bets(1, 0, 3000), bets(1, 3000, 50)]
        const { send, upload } = yield* come
        yield* send(first)
        const book = how === "the last batch" ? [first, last] : [first]
        if (how === "the last batch") yield* send(last, true)
        else if (how === "no bets") yield* send(BetBatch.empty, true)
        else yield* upload.finish(first.count, whole(first).sha256)
        const count = book.reduce((sum, batch) => sum + batch.count, 0)
        const digest = { bets: count, ...whole(...book) }
        expect(digest.marks.length).toBeGreaterThan(0)
        expect([...(yield* store.digests)]).toEqual([[1, digest]])
      }).pipe(Effect.scoped)
  )

  it.live("that finishes a book is noted even if the connection is interrupted meanwhile", () =>
    Effect.gen(function* () {
      const { comeOn, disk } = yield* setUp
      const noted = yield* Latch.make()
      const { upload } = yield* comeOn(Effect.never, () => Effect.asVoid(noted.open))
      const { begun, free } = yield* holdWrites(disk)
      const finishing = yield* Effect.forkChild(upload.finish(0, whole().sha256))
      yield* begun
      const stopping = yield* Effect.forkChild(Fiber.interrupt(finishing), {
        startImmediately: true
      })
      yield* free
      yield* Fiber.join(stopping)
      expect(noted.isOpen()).toBe(true)
    }).pipe(Effect.scoped)
  )

  it.live("makes the other connections to the book wait", () =>
    Effect.gen(function* () {
      const { come, disk } = yield* setUp
      const [first, resuming, adding] = [yield* come, yield* come, yield* come]
      const { begun, free } = yield* holdWrites(disk)
      const storing = yield* Effect.forkChild(first.send(batchOf("1")))
      yield* begun
      const resumed = yield* Effect.forkChild(resuming.upload.resume, { startImmediately: true })
      const added = yield* Effect.forkChild(adding.send(batchOf("1", "2")), {
        startImmediately: true
      })
      // An operation that did not wait would end in this time.
      yield* Effect.sleep("20 millis")
      yield* free
      yield* Fiber.join(storing)
      expect(yield* Fiber.join(resumed)).toMatchObject({ bets: 1 })
      yield* Fiber.join(added)
    }).pipe(Effect.scoped)
  )
})

describe("an upload", () => {
  it.live("that cannot add its bets does not supersede the writer", () =>
    Effect.gen(function* () {
      const { come, disk } = yield* setUp
      const first = yield* come
      yield* first.send(batchOf("1"))
      const second = yield* come
      disk.isFull = true
      expect((yield* Effect.flip(second.send(batchOf("1", "2"))))._tag).toBe("StoreUnavailable")
      expect(first.isGone()).toBe(false)
      disk.isFull = false
      yield* first.send(batchOf("3"), true)
    }).pipe(Effect.scoped)
  )

  it.live("that cannot finish the book does not supersede the writer", () =>
    Effect.gen(function* () {
      const { come, disk } = yield* setUp
      const first = yield* come
      const book = batchOf("1")
      yield* first.send(book)
      const { isGone, upload } = yield* come
      yield* upload.resume
      disk.isFull = true
      const failure = yield* Effect.flip(upload.finish(1, whole(book).sha256))
      expect(failure._tag).toBe("StoreUnavailable")
      expect([first.isGone(), isGone()]).toEqual([false, false])
      disk.isFull = false
      yield* upload.finish(1, whole(book).sha256)
      expect(first.isGone()).toBe(true)
    }).pipe(Effect.scoped)
  )

  it.live("adds nothing to a book that was discarded without its knowledge", () =>
    Effect.gen(function* () {
      const { come, store } = yield* setUp
      yield* (yield* come).send(batchOf("1"))
      const { send } = yield* come
      yield* send(batchOf("1"))
      yield* store.discard(1, randomUUID())
      expect((yield* Effect.flip(send(batchOf("2"))))._tag).toBe("Discarded")
      expect((yield* store.progressOf(1)).bets).toBe(0)
    }).pipe(Effect.scoped)
  )

  it.live("adds nothing to the book that replaced its own, even as the writer", () =>
    Effect.gen(function* () {
      const { come, store } = yield* setUp
      const { send, upload } = yield* come
      yield* send(batchOf("1"))
      // Another process discards the book, and another server stores as many bets of the next one.
      yield* store.discard(1, randomUUID())
      yield* store.append(1, 0, batchOf("7"))
      expect((yield* Effect.flip(send(batchOf("2"))))._tag).toBe("Discarded")
      expect((yield* Effect.flip(send(batchOf(), true)))._tag).toBe("Discarded")
      const finishing = upload.finish(1, whole(batchOf("1")).sha256)
      expect((yield* Effect.flip(finishing))._tag).toBe("Discarded")
      expect(yield* store.progressOf(1)).toMatchObject({ bets: 1, finished: false })
    }).pipe(Effect.scoped)
  )

  it.live("that finishes its book again fails if the book was discarded meanwhile", () =>
    Effect.gen(function* () {
      const { come, store } = yield* setUp
      const { send, upload } = yield* come
      yield* send(batchOf("1"), true)
      const sha256 = whole(batchOf("1")).sha256
      yield* upload.finish(1, sha256)
      yield* store.discard(1, randomUUID())
      expect((yield* Effect.flip(upload.finish(1, sha256)))._tag).toBe("Discarded")
    }).pipe(Effect.scoped)
  )

  it.live("differs if its last bet continues after the stored bet ends", () =>
    Effect.gen(function* () {
      const { come } = yield* setUp
      yield* (yield* come).send(BetBatch.fromBets([bet("1"), bet("2", 7)]))
      const longer = BetBatch.fromBets([bet("1"), bet("2", 75)])
      const refusal = yield* Effect.flip((yield* come).send(longer))
      expect(refusal).toMatchObject({ _tag: "BookDiffers", position: 1 })
    }).pipe(Effect.scoped)
  )

  it.live("is compared page by page, with the right position of a difference on a later page", () =>
    Effect.gen(function* () {
      const { come, disk } = yield* setUp
      const book = Array.from({ length: 1100 }, (_, document) => bet(String(document)))
      yield* (yield* come).send(BetBatch.fromBets(book))
      yield* (yield* come).send(BetBatch.fromBets(book))
      const other = BetBatch.fromBets(book.with(1050, bet("2000")))
      const refusal = yield* Effect.flip((yield* come).send(other))
      expect(refusal).toMatchObject({ _tag: "BookDiffers", position: 1050 })
      expect(disk.largestPage).toBe(512)
    }).pipe(Effect.scoped)
  )

  it.live("shares the limit on concurrent comparisons with the other uploads", () =>
    Effect.gen(function* () {
      const { come, disk } = yield* setUp
      const batch = batchOf("1")
      yield* (yield* come).send(batch)
      const uploads = [yield* come, yield* come, yield* come]
      const free = yield* Latch.make()
      let pages = 0
      disk.page = Effect.andThen(
        Effect.sync(() => pages++),
        free.await
      )
      const all = Effect.forEach(uploads, ({ send }) => send(batch), { concurrency: "unbounded" })
      const comparing = yield* Effect.forkChild(all, { startImmediately: true })
      yield* Effect.sleep("20 millis")
      expect(pages).toBe(1)
      yield* free.open
      yield* Fiber.join(comparing)
      expect(pages).toBe(3)
    }).pipe(Effect.scoped)
  )

  it.live("whose connection is lost is no longer compared", () =>
    Effect.gen(function* () {
      const { come, comeOn, disk } = yield* setUp
      yield* (yield* come).send(batchOf("1"))
      const reason = "the peer has gone away"
      const gone = yield* comeOn(Effect.fail(new ConnectionLost({ reason })))
      disk.page = Effect.never
      expect((yield* Effect.flip(gone.send(batchOf("1"))))._tag).toBe("ConnectionLost")
    }).pipe(Effect.scoped)
  )

  it.live("that is compared with a discarded book fails with Discarded", () =>
    Effect.gen(function* () {
      const { come, store } = yield* setUp
      yield* (yield* come).send(batchOf("1"))
      const { send } = yield* come
      yield* store.discard(1, randomUUID())
      expect((yield* Effect.flip(send(batchOf("1"))))._tag).toBe("Discarded")
    }).pipe(Effect.scoped)
  )

  it.live("of a book that replaces a discarded one finishes without reading it back", () =>
    Effect.gen(function* () {
      const { come, disk, store } = yield* setUp
      yield* (yield* come).send(batchOf("1"), true)
      yield* store.discard(1, randomUUID())
      const corrected = yield* come
      yield* corrected.send(batchOf("2"))
      yield* corrected.send(batchOf("3"), true)
      expect(disk.booksRead).toBe(0)
    }).pipe(Effect.scoped)
  )
})
