/**
 * Goal: damage and defects end a single session, with an answer in its dialect and one log line.
 * Method: real sockets, a database that another program changed, and a store with a defect.
 */
import { DatabaseSync } from "node:sqlite"
import { it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { describe, expect } from "vitest"
import type { BetStore } from "../../src/server/store/BetStore.ts"
import * as M from "../support/peers/messages.ts"
import * as RawPeer from "../support/peers/RawPeer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const failures = (server: TestServer.TestServer) =>
  server.log.filter((line) => line.includes("| result: fail |"))

const book = [M.fields(10), M.fields(11, 7574), M.fields(12, 7574)]

describe("a winning bet that another program changed", () => {
  it.live("is logged and answered, and the other agencies get their winners", () =>
    Effect.gen(function* () {
      const path = `${yield* temporaryFolder}/lottery.db`
      const server = yield* TestServer.start({ _tag: "sqlite", path }, [1, 2])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.packetOf(1, book, false))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      const database = new DatabaseSync(path)
      database.exec("update bets set document = '1;2' where agency = 1 and position = 1")
      database.close()
      const second = yield* RawPeer.connect(server.port)
      yield* second.send(Buffer.concat([M.chunkOf(2, book, true), M.consultOf(2)]))
      const answers = yield* second.rest
      expect(M.readJson(answers.subarray(M.CHUNK_PROCESSED.length))).toEqual({
        type_message: 2,
        payload: "11,12"
      })
      yield* first.send(M.packet("1;", false))
      expect(yield* first.rest).toEqual(Buffer.alloc(0))
      const json = yield* RawPeer.connect(server.port)
      yield* json.send(M.consultOf(1))
      const why =
        "agency 1: the stored bet at position 1 was changed: document: expected 1 to 10 digits"
      expect(M.readJson(yield* json.rest)).toMatchObject({
        type_message: 3,
        payload: expect.stringContaining(why)
      })
      const native = yield* RawPeer.connect(server.port)
      yield* native.send(Buffer.concat([M.helloOf(1), M.AWAIT_WINNERS]))
      const said = M.controlsIn(yield* native.rest).at(-1)
      expect(said).toMatchObject({ _tag: "Rejected", code: "StoreUnavailable" })
      const who = "action: consulta_ganadores | result: fail | agencia: 1 | posicion: 1"
      const line = `${who} | ip: 127.0.0.1 | error: ${why}`
      expect(failures(server)).toEqual(Array(3).fill(expect.stringContaining(line)))
    })
  )
})

describe("a bet that another program deleted", () => {
  it.live("is reported as missing, and no other bet takes its place", () =>
    Effect.gen(function* () {
      const path = `${yield* temporaryFolder}/lottery.db`
      const server = yield* TestServer.start({ _tag: "sqlite", path }, [1, 2])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.packetOf(1, book, true))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      const database = new DatabaseSync(path)
      database.exec("delete from bets where agency = 1 and position = 1")
      database.close()
      const read = yield* Effect.flip(Stream.runDrain(server.store.book(1, 0)))
      expect(read.message).toContain("bet 1 of agency 1 is missing")
      const again = yield* RawPeer.connect(server.port)
      yield* again.send(M.packetOf(1, book, true))
      expect(yield* again.rest).toEqual(M.REFUSED)
      expect(failures(server)).toEqual([
        expect.stringContaining("the stored bet at position 1 is missing")
      ])
    })
  )
})

describe("a defect in the server", () => {
  const flaw = (store: BetStore["Service"]): BetStore["Service"] => ({
    ...store,
    append: () => Effect.die(new TypeError("undefined is not a bet"))
  })

  it.live("ends the session with an answer in its dialect and one log line", () =>
    Effect.gen(function* () {
      const path = `${yield* temporaryFolder}/lottery.db`
      const server = yield* TestServer.start({ _tag: "sqlite", path }, [1], 7574, { flaw })
      const talk = Effect.fnUntraced(function* (bytes: Buffer) {
        const peer = yield* RawPeer.connect(server.port)
        yield* peer.send(bytes)
        return yield* peer.rest
      })
      expect(yield* talk(M.packetOf(1, book, true))).toEqual(M.REFUSED)
      expect(M.readJson(yield* talk(M.chunkOf(1, book, false)))).toMatchObject({ type_message: 3 })
      const native = yield* talk(Buffer.concat([M.helloOf(1), M.betsOf(0, book)]))
      expect(M.controlsIn(native)).toMatchObject([
        { _tag: "Welcome" },
        { _tag: "Rejected", code: "StoreUnavailable" }
      ])
      expect(yield* talk(Buffer.from("PING\n"))).toEqual(Buffer.from("PING\n"))
      const line = /^action: apuesta_recibida .* \| error: internal error: undefined is not a bet$/
      expect(failures(server)).toEqual(Array(3).fill(expect.stringMatching(line)))
    })
  )
})
