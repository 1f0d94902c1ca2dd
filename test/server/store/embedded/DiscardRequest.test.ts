/**
 * Goal: a requested discard is executed once while its process waits, or not at all, and the
 * process learns which. Method: both sides in this process, and request files written by hand.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { BetStore } from "../../../../src/server/store/BetStore.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import * as DiscardRequest from "../../../../src/server/store/embedded/DiscardRequest.ts"
import * as RequestFile from "../../../../src/server/store/embedded/RequestFile.ts"
import * as StoreLock from "../../../../src/server/store/embedded/StoreLock.ts"
import * as SqliteStore from "../../../../src/server/store/sqlite/SqliteStore.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, drawOf } from "../BetStore.conformance.ts"

type Store = BetStore["Service"]

const pause = (millis: number) =>
  Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

const until = (happened: () => boolean) =>
  Effect.gen(function* () {
    for (let looks = 0; looks < 500; looks++) {
      if (happened()) return
      yield* pause(10)
    }
    throw new Error("it did not happen in five seconds")
  })

const requestOf = (agency: number, more: object = {}) =>
  JSON.stringify({ agency, draw: "default", token: `token-${agency}`, ...more })

const renew = (file: string, ageSeconds = 0) =>
  Effect.clockWith((clock) =>
    Effect.sync(() => {
      const at = clock.currentTimeMillisUnsafe() / 1000 - ageSeconds
      utimesSync(file, at, at)
    })
  )

const writeRequest = (file: string, text: string, ageSeconds = 0) =>
  Effect.andThen(
    Effect.sync(() => writeFileSync(file, text)),
    renew(file, ageSeconds)
  )

const logging = Effect.sync(() => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel} ${[message].flat().map(String).join(" ")}`)
  })
  return { lines, layer: Logger.layer([logger]) }
})

for (const [name, stores] of Object.entries({
  SqliteStore: { make: SqliteStore.make, discard: SqliteStore.discard },
  CsvStore: { make: CsvStore.make, discard: CsvStore.discard }
})) {
  /** Opens a store with two finished books. */
  const open = Effect.fnUntraced(function* (path: string) {
    const store = yield* stores.make({ path, drawId: "default" })
    yield* store.openDraw(drawOf([1, 2]))
    yield* store.append(1, 0, bets(1, 0, 7), { last: whole(bets(1, 0, 7)) })
    yield* store.append(2, 0, bets(2, 0, 3), { last: whole(bets(2, 0, 3)) })
    return store
  })
  const newPath = Effect.map(temporaryFolder, (folder) => join(folder, "store"))
  const withBooks = Effect.gen(function* () {
    const path = yield* newPath
    return { path, file: `${path}.discard`, store: yield* open(path) }
  })
  const at = (path: string, drawId = "default") => ({ path, drawId })

  describe.concurrent(`a request to discard a book from an open ${name}`, () => {
    it.live("is executed, answered, logged and emitted as a change", () =>
      Effect.gen(function* () {
        const { layer, lines } = yield* logging
        yield* Effect.gen(function* () {
          const { file, path, store } = yield* withBooks
          const early = yield* Effect.forkChild(Stream.runHead(store.changes), {
            startImmediately: true
          })
          expect(yield* stores.discard(at(path), 1)).toBe(7)
          expect(yield* store.progressOf(1)).toMatchObject({ bets: 0, finished: false, edition: 1 })
          expect((yield* store.progressOf(2)).bets).toBe(3)
          yield* Fiber.join(early)
          yield* Stream.runHead(store.changes)
          yield* store.append(1, 0, bets(1, 9, 2))
          expect(yield* stores.discard(at(path), 1)).toBe(2)
          expect(existsSync(file)).toBe(false)
        }).pipe(Effect.provide(layer))
        const line = "Warn action: book_discarded | result: success | agencia: 1 | cantidad:"
        expect(lines).toEqual([`${line} 7`, `${line} 2`])
      })
    )

    it.live("is refused with the reason after the draw and for another draw", () =>
      Effect.gen(function* () {
        const { layer, lines } = yield* logging
        const { path, store } = yield* Effect.provide(withBooks, layer)
        const asked = DiscardRequest.ask({ path, drawId: "monday", agency: 1 })
        expect(yield* Effect.flip(asked)).toMatchObject({
          _tag: "DiscardFailed",
          message: expect.stringMatching(/open refused: it serves the draw default, not monday$/)
        })
        yield* store.recordDraw
        expect(yield* Effect.flip(stores.discard(at(path), 1))).toMatchObject({
          _tag: "DiscardFailed",
          message:
            `the server that has ${path} open refused: ` +
            "the draw default has been held: the book of agency 1 cannot be discarded"
        })
        expect((yield* store.progressOf(1)).bets).toBe(7)
        expect(lines).toHaveLength(2)
        for (const line of lines) {
          expect(line).toMatch(/^Warn action: book_discarded \| result: fail \| agencia: 1 \| e/)
        }
      })
    )

    it.live("is not executed if it is stale or already answered", () =>
      Effect.gen(function* () {
        const { layer, lines } = yield* logging
        yield* Effect.gen(function* () {
          const { file, store } = yield* withBooks
          // The clock may have been set back since the last renewal.
          for (const ageSeconds of [6, -3600]) {
            yield* writeRequest(file, requestOf(1), ageSeconds)
            yield* until(() => !existsSync(file))
          }
          yield* writeRequest(file, requestOf(1, { answer: { discarded: 4 } }))
          yield* pause(1200)
          expect(readFileSync(file, "utf8")).toContain('"discarded":4')
          expect((yield* store.progressOf(1)).bets).toBe(7)

          yield* writeRequest(file, requestOf(1))
          yield* until(() => readFileSync(file, "utf8").includes("answer"))
          expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
            ...JSON.parse(requestOf(1)),
            answer: { discarded: 7 }
          })
          yield* store.append(1, 0, bets(1, 0, 5))
          yield* writeRequest(file, requestOf(1))
          yield* until(() => readFileSync(file, "utf8").includes("answer"))
          expect((yield* store.progressOf(1)).bets).toBe(5)
        }).pipe(Effect.provide(layer))
        expect(lines).toHaveLength(1)
      })
    )

    it.live("is removed with a warning if it is not a request", () =>
      Effect.gen(function* () {
        const { layer, lines } = yield* logging
        yield* Effect.gen(function* () {
          const { file, store } = yield* withBooks
          for (const text of ["", "{", requestOf(0), '{"agency":1}']) {
            yield* writeRequest(file, text, 2)
            yield* until(() => !existsSync(file))
          }
          yield* until(() => lines.length === 4)
          expect((yield* store.progressOf(1)).bets).toBe(7)
        }).pipe(Effect.provide(layer))
        for (const line of lines) expect(line).toMatch(/^Warn .*was not a request/)
      })
    )

    it.live("is read again after a failed read", () =>
      Effect.gen(function* () {
        const { file, store } = yield* withBooks
        mkdirSync(file)
        yield* pause(700)
        rmdirSync(file)
        yield* writeRequest(file, requestOf(1))
        yield* until(() => readFileSync(file, "utf8").includes("answer"))
        expect((yield* store.progressOf(1)).bets).toBe(0)
      }).pipe(Effect.provide(Logger.layer([])))
    )

    it.live("to an earlier server is removed when the store is opened unless it is answered", () =>
      Effect.gen(function* () {
        const path = yield* newPath
        const file = `${path}.discard`
        const use = <A, E>(run: (store: Store) => Effect.Effect<A, E>) =>
          Effect.scoped(Effect.flatMap(stores.make(at(path)), run))
        yield* use((store) => store.append(1, 0, bets(1, 0, 7)))
        for (const text of [requestOf(1), "{"]) {
          yield* writeRequest(file, text)
          yield* use(() => Effect.sync(() => expect(existsSync(file)).toBe(false)))
        }
        yield* writeRequest(file, requestOf(1, { answer: { discarded: 4 } }))
        yield* use((store) =>
          Effect.gen(function* () {
            expect(existsSync(file)).toBe(true)
            yield* pause(700)
            expect((yield* store.progressOf(1)).bets).toBe(7)
          })
        )
      })
    )

    it.live("is not needed if no server has the store open, and creates no store", () =>
      Effect.gen(function* () {
        const path = yield* newPath
        yield* Effect.scoped(open(path))
        expect(yield* stores.discard(at(path), 1)).toBe(7)
        expect(yield* stores.discard(at(path), 1)).toBe(0)
        expect(yield* Effect.flip(stores.discard(at(path, "monday"), 2))).toMatchObject({
          _tag: "StoreOpenError",
          reason: expect.stringMatching(/it holds .*default/)
        })
        const missing = yield* newPath
        expect(yield* Effect.flip(stores.discard(at(missing), 1))).toMatchObject({
          _tag: "StoreOpenError",
          reason: expect.stringMatching(/^there is no such file/)
        })
        for (const name of ["", ".lock", ".state.json"]) {
          expect(existsSync(missing + name)).toBe(false)
        }
      })
    )
  })
}

/** Advances the test clock and lets file operations run. */
const goOn = Effect.andThen(TestClock.adjust("100 millis"), pause(5))

const awaitWithTime = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.gen(function* () {
    while (fiber.pollUnsafe() === undefined) yield* goOn
    return yield* Fiber.join(fiber)
  })

describe("a process that requests a discard", () => {
  /** A store whose lock is held, but whose requests are not served. */
  const deaf = Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "store")
    yield* StoreLock.acquire(path, path)
    const file = `${path}.discard`
    return {
      path,
      file,
      ask: Effect.flip(DiscardRequest.ask({ path, drawId: "default", agency: 1 }))
    }
  })

  it.effect("renews the request, gives up after ten seconds, and removes the request", () =>
    Effect.gen(function* () {
      const { ask, file } = yield* deaf
      const fiber = yield* Effect.forkChild(ask, { startImmediately: true })
      yield* until(() => existsSync(file))
      const renewedAt = new Set<number>()
      while (fiber.pollUnsafe() === undefined) {
        if (existsSync(file)) renewedAt.add(statSync(file).mtimeMs)
        yield* goOn
      }
      // The number depends on how fast this machine reads files.
      expect(renewedAt.size).toBeGreaterThan(1)
      const error = yield* Fiber.join(fiber)
      expect(error.message).toMatch(
        /did not answer in 10 seconds; if lottery status shows .* stored, discard it again$/
      )
      expect(existsSync(file)).toBe(false)
    })
  )

  it.effect("removes the request when it is interrupted", () =>
    Effect.gen(function* () {
      const { ask, file } = yield* deaf
      const fiber = yield* Effect.forkChild(ask, { startImmediately: true })
      yield* until(() => existsSync(file) && readFileSync(file, "utf8") !== "")
      yield* Fiber.interrupt(fiber)
      expect(existsSync(file)).toBe(false)
    })
  )

  it.live("fails and says what to do if the request is removed or the server stops", () =>
    Effect.gen(function* () {
      const { ask, file } = yield* deaf
      const fiber = yield* Effect.forkChild(ask, { startImmediately: true })
      yield* until(() => existsSync(file))
      unlinkSync(file)
      const error = yield* Fiber.join(fiber)
      expect(error.message).toMatch(/removed the request without an answer; if lottery status/)

      const path = join(yield* temporaryFolder, "store")
      const stopped = yield* Effect.flip(DiscardRequest.ask({ path, drawId: "default", agency: 1 }))
      expect(stopped.message).toMatch(
        /has stopped; if lottery status shows that the book is still stored, discard it again$/
      )
      expect(existsSync(`${path}.discard`)).toBe(false)
    })
  )

  it.effect("gets an answer written just before the server stopped", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "store")
      const file = `${path}.discard`
      const fiber = yield* Effect.gen(function* () {
        yield* StoreLock.acquire(path, path)
        const asking = DiscardRequest.ask({ path, drawId: "default", agency: 1 })
        const fiber = yield* Effect.forkDetach(asking, { startImmediately: true })
        yield* until(() => existsSync(file) && readFileSync(file, "utf8") !== "")
        // Every tenth check also looks for the server, and the next one does.
        yield* pause(50)
        yield* Effect.repeat(Effect.andThen(goOn, pause(25)), { times: 8 })
        const request = JSON.parse(readFileSync(file, "utf8"))
        writeFileSync(file, JSON.stringify({ ...request, answer: { discarded: 3 } }))
        return fiber
      }).pipe(Effect.scoped)
      expect(yield* awaitWithTime(fiber)).toBe(3)
    })
  )

  it.effect("waits for another request, keeps it, and then reports it", () =>
    Effect.gen(function* () {
      const { ask, file, path } = yield* deaf
      yield* writeRequest(file, requestOf(2))
      // Writing it again would give it the real time for a moment, which counts as stale.
      const renewing = yield* Effect.forkChild(
        Effect.sleep("1 second").pipe(Effect.andThen(renew(file)), Effect.forever),
        { startImmediately: true }
      )
      const error = yield* awaitWithTime(yield* Effect.forkChild(ask))
      expect(error.message).toBe(
        `another discard in ${path} is under way; try again when it is done`
      )
      expect(readFileSync(file, "utf8")).toBe(requestOf(2))
      yield* Fiber.interrupt(renewing)
    })
  )

  it.effect("replaces a stale request", () =>
    Effect.gen(function* () {
      const { ask, file } = yield* deaf
      // No file can be older than the epoch, when the test's time begins.
      yield* TestClock.adjust("1 minute")
      yield* writeRequest(file, requestOf(2), 6)
      const fiber = yield* Effect.forkChild(ask, { startImmediately: true })
      const isTaken = () => existsSync(file) && !readFileSync(file, "utf8").includes("token-2")
      for (let looks = 0; looks < 20 && !isTaken(); looks++) yield* goOn
      expect(isTaken()).toBe(true)
      expect((yield* awaitWithTime(fiber)).message).toContain("did not answer in 10 seconds")
    })
  )

  it.live("touches only its own request, as does the server", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "store")
      const file = `${path}.discard`
      const own = new RequestFile.Request({ agency: 1, draw: "default", token: "own" })
      yield* Effect.gen(function* () {
        yield* RequestFile.create(path, own)
        yield* writeRequest(file, requestOf(2))
        yield* RequestFile.answer(file, own, { discarded: 1 })
      }).pipe(Effect.scoped)
      expect(readFileSync(file, "utf8")).toBe(requestOf(2))
    })
  )
})
