/**
 * Goal: a server that publishes serves the seal and the result once they exist, as they are stored,
 * and reads each from its store once. Method: requests to a real server whose store says that its
 * draw is sealed and then drawn.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { type Evidence, StoreUnavailable } from "../../../../src/server/store/BetStore.ts"
import type { StoredDraw } from "../../../../src/server/store/StoredDraw.ts"
import * as rawHttp from "../../../support/peers/rawHttp.ts"
import * as WatchedServer from "../../../support/peers/WatchedServer.ts"
import { pause, until } from "../../../support/stores/HeldTransaction.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

/** Large enough to be written in many pieces. */
const ENTRIES = "lottery-seal/v1 default …\n".repeat(100_000)
const SEAL = "lottery.example/default\n6\nPYyu\n\n— lottery.example m2xk\n"
const RESULT = "lottery-result/v1 default 6286\n\n— lottery.example yoB\n"

/** Longer than an answer of a fast store is shared. */
const SHARED_NO_LONGER_MILLIS = 600

interface Stage extends Evidence {
  readonly draw: Partial<StoredDraw>
}
const OPEN: Stage = { draw: {}, entries: undefined, seal: undefined, result: undefined }
const SEALED: Stage = { ...OPEN, draw: { sealed: true }, entries: ENTRIES, seal: SEAL }
const DRAWN: Stage = { ...SEALED, draw: { sealed: true, drawn: true }, result: RESULT }

const AWAY = Effect.fail(new StoreUnavailable({ reason: "no disk" }))

const start = Effect.fnUntraced(function* (publishSeal = true) {
  const found = { stage: OPEN, reads: 0, isAvailable: true }
  const path = `${yield* temporaryFolder}/bets.csv`
  const { httpPort } = yield* WatchedServer.start({ _tag: "csv", path }, [1], {
    http: { publishSeal },
    flaw: (store) => ({
      ...store,
      draw: Effect.suspend(() => {
        const draw = Effect.map(
          store.draw,
          Option.map((of) => ({ ...of, ...found.stage.draw }))
        )
        return found.isAvailable ? draw : AWAY
      }),
      evidence: Effect.suspend(() => {
        found.reads++
        // A large seal takes a while.
        return Effect.delay(found.isAvailable ? Effect.succeed(found.stage) : AWAY, "100 millis")
      })
    })
  })
  const get = (name: string) => rawHttp.get(httpPort, `/draw/${name}`)
  const answers = (name: string, status: number) =>
    until(Effect.map(get(name), (answer) => answer.status === status))
  const tellsBoards = Effect.gen(function* () {
    const board = yield* rawHttp.openBoard(httpPort)
    yield* until(Effect.sync(() => board.text().includes("event: server")))
    return board.text().includes('"publishesSeal":true')
  })
  return { found, httpPort, get, answers, tellsBoards }
})

const textOf = ({ body }: rawHttp.Answer) => Buffer.from(body, "latin1").toString()

describe("a server that publishes", () => {
  it.live("serves the seal once it is signed, and the result after the draw", () =>
    Effect.gen(function* () {
      const { answers, found, get, tellsBoards } = yield* start()
      expect(yield* tellsBoards).toBe(true)
      for (const name of ["seal", "result"]) {
        expect(yield* get(name)).toMatchObject({ status: 404, body: `There is no ${name} yet.\n` })
      }
      // Entries that nobody has signed.
      found.stage = { ...OPEN, entries: ENTRIES }
      expect((yield* get("seal")).status).toBe(404)
      expect(found.reads).toBe(0)

      found.stage = SEALED
      yield* answers("seal", 200)
      const seal = yield* get("seal")
      expect(textOf(seal)).toBe(`${ENTRIES}\n${SEAL}`)
      expect(seal.headers.get("content-type")).toBe("text/plain; charset=utf-8")
      // As long as there is no draw, nothing is read for the result, however often it is asked for.
      for (let count = 0; count < 2; count++) {
        expect((yield* get("result")).status).toBe(404)
        yield* pause(SHARED_NO_LONGER_MILLIS)
      }
      expect((yield* get("result")).status).toBe(404)
      expect(found.reads).toBe(1)

      // The result is recorded after the winners.
      found.stage = { ...DRAWN, result: undefined }
      expect((yield* get("result")).status).toBe(404)
      found.stage = DRAWN
      yield* answers("result", 200)
      expect(textOf(yield* get("result"))).toBe(RESULT)
      const { reads } = found
      for (const name of ["seal", "result", "seal"]) yield* get(name)
      expect(found.reads).toBe(reads)
    })
  )

  it.live("reads its store once for all who ask at the same time", () =>
    Effect.gen(function* () {
      const { found, get } = yield* start()
      found.stage = DRAWN
      const ask = (index: number) => get(index % 2 === 0 ? "seal" : "result")
      const all = yield* Effect.forEach(Array(40).keys(), ask, { concurrency: "unbounded" })
      expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]))
      expect(new Set(all.map(textOf))).toEqual(new Set([`${ENTRIES}\n${SEAL}`, RESULT]))
      expect(found.reads).toBe(1)
    })
  )

  it.live("sends no file again to those who have it", () =>
    Effect.gen(function* () {
      const { answers, found, get, httpPort } = yield* start()
      found.stage = DRAWN
      yield* answers("seal", 200)
      const tags = new Map<string, string>()
      for (const name of ["seal", "result"]) {
        tags.set(name, (yield* get(name)).headers.get("etag") ?? "")
      }
      expect(new Set(tags.values()).size).toBe(2)
      const askWith = (path: string, method: string, tag: string) =>
        rawHttp.ask(
          httpPort,
          rawHttp.request(path, method, `Host: localhost\r\nIf-None-Match: ${tag}\r\n`)
        )
      for (const [name, tag] of tags) {
        const path = `/draw/${name}`
        for (const sent of [tag, `"other", W/${tag}`]) {
          expect(yield* askWith(path, "GET", sent)).toMatchObject({ status: 304, body: "" })
        }
        expect((yield* askWith(path, "GET", '"other"')).status).toBe(200)
        const head = yield* askWith(path, "HEAD", '"other"')
        expect(head).toMatchObject({ status: 200, body: "" })
        expect(head.headers.get("etag")).toBe(tag)
        expect((yield* rawHttp.ask(httpPort, rawHttp.request(path, "POST"))).status).toBe(405)
      }
    })
  )

  it.live("says that its store is unavailable, and serves once it is back", () =>
    Effect.gen(function* () {
      const { answers, found, get } = yield* start()
      found.stage = SEALED
      found.isAvailable = false
      const broken = { status: 503, body: "the store is unavailable\n" }
      expect(yield* get("seal")).toMatchObject(broken)
      found.isAvailable = true
      yield* answers("seal", 200)
      // What has been read needs no store.
      found.isAvailable = false
      yield* answers("result", 503)
      expect((yield* get("seal")).status).toBe(200)
    })
  )
})

describe("a server that does not publish", () => {
  it.live("serves neither, and reads neither", () =>
    Effect.gen(function* () {
      const { found, get, tellsBoards } = yield* start(false)
      found.stage = DRAWN
      for (const name of ["seal", "result"]) {
        const { body, status } = yield* get(name)
        expect(status).toBe(404)
        expect(body).toContain("without --publish-seal")
      }
      expect(found.reads).toBe(0)
      expect(yield* tellsBoards).toBe(false)
    })
  )
})
