/**
 * Goal: clients in the course's dialects reconnect too and send their book from the start. Method:
 * a scripted server on a real socket.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, expect } from "vitest"
import * as BinaryConversation from "../../src/client/conversation/BinaryConversation.ts"
import type { Conversation } from "../../src/client/conversation/Conversation.ts"
import * as JsonConversation from "../../src/client/conversation/JsonConversation.ts"
import { bookOf, keepLog, recordProgress, rows } from "../support/clientBooks.ts"
import type { AgencyEnd } from "../support/peers/AgencyEnd.ts"
import * as M from "../support/peers/messages.ts"
import * as ScriptedServer from "../support/peers/ScriptedServer.ts"

const AGENCY = 3
const book = bookOf([rows(0, 2), rows(2, 4)])

const hold = Effect.fnUntraced(function* (conversation: Conversation) {
  const bets = yield* ScriptedServer.listen()
  const asked = yield* ScriptedServer.listen()
  const servers = {
    server: { host: "127.0.0.1", port: bets.port },
    winnersServer: { host: "127.0.0.1", port: asked.port }
  }
  const progress = recordProgress()
  const log = keepLog()
  const fiber = yield* conversation
    .hold(book, servers, progress)
    .pipe(Effect.provide([log.layer, NodeFileSystem.layer]), Effect.forkChild)
  return { bets, asked, documents: Fiber.join(fiber), told: progress.told, log: log.lines }
})

/** Receives exactly these bytes. */
const receive = Effect.fnUntraced(function* (agency: AgencyEnd, expected: Buffer) {
  expect((yield* agency.receive(expected.length)).toString()).toBe(expected.toString())
})

const betsOf = (from: number) => [M.fields(from, 7574), M.fields(from + 1, 7574)]
const packets = [M.packetOf(AGENCY, betsOf(0), true), M.packetOf(AGENCY, betsOf(2), false)]
const question = M.packet(`${AGENCY};`, false)
const chunks = [M.chunkOf(AGENCY, betsOf(0), false), M.chunkOf(AGENCY, betsOf(2), true)]

/** Receives messages of a book and acknowledges all except the last. */
const take = Effect.fnUntraced(function* (
  agency: AgencyEnd,
  messages: ReadonlyArray<Buffer>,
  stored: Buffer
) {
  for (const message of messages.slice(0, -1)) {
    yield* receive(agency, message)
    yield* agency.send(stored)
  }
  if (messages.length > 0) yield* receive(agency, messages.at(-1)!)
})

const connection = (log: ReadonlyArray<string>) =>
  log.filter((line) => line.startsWith("WARNING action: connection | result: fail | agencia: 3 |"))

describe("in binary packets", () => {
  const conversation = BinaryConversation.make(AGENCY, 8192)

  for (const how of ["close", "reset"] as const) {
    it.live(`the book starts over after each ${how}, even while the agency waits`, () =>
      Effect.gen(function* () {
        const { bets, documents, log, told } = yield* hold(conversation)
        for (const taken of [0, 1, 2]) {
          const agency = yield* bets.accept
          yield* take(agency, packets.slice(0, taken), M.STORED)
          yield* agency[how]
        }
        const asking = yield* bets.accept
        yield* take(asking, packets, M.STORED)
        yield* asking.send(M.STORED)
        yield* receive(asking, question)
        yield* asking[how]
        const agency = yield* bets.accept
        yield* take(agency, packets, M.STORED)
        yield* agency.send(M.STORED)
        yield* receive(agency, question)
        yield* agency.send(M.winnersOf(30, 40))
        expect(yield* documents).toEqual(["30", "40"])
        expect(connection(log).length).toBeGreaterThan(0)
        expect(told.filter((what) => typeof what === "number")).toEqual([2, 2, 4, 2, 4])
      })
    )
  }

  it.live("a refusal is final", () =>
    Effect.gen(function* () {
      const { bets, documents } = yield* hold(conversation)
      const agency = yield* bets.accept
      yield* take(agency, packets.slice(0, 1), M.STORED)
      yield* agency.send(M.REFUSED)
      expect(yield* Effect.flip(documents)).toMatchObject({ _tag: "Refused", retryable: false })
    })
  )

  it.live("an invalid answer is final", () =>
    Effect.gen(function* () {
      const { bets, documents } = yield* hold(conversation)
      const agency = yield* bets.accept
      yield* take(agency, packets.slice(0, 1), M.STORED)
      yield* agency.send(Buffer.from([7, 7]))
      expect(yield* Effect.flip(documents)).toMatchObject({ _tag: "BadAnswer" })
    })
  )
})

describe("in JSON messages", () => {
  const conversation = JsonConversation.make(AGENCY)

  for (const how of ["close", "reset"] as const) {
    it.live(`the book starts over after each ${how}, even while the agency waits`, () =>
      Effect.gen(function* () {
        const { asked, bets, documents, told } = yield* hold(conversation)
        for (const taken of [0, 1, 2]) {
          const agency = yield* bets.accept
          yield* take(agency, chunks.slice(0, taken), M.CHUNK_PROCESSED)
          yield* agency[how]
        }
        const takeBook = Effect.gen(function* () {
          const agency = yield* bets.accept
          yield* take(agency, chunks, M.CHUNK_PROCESSED)
          yield* agency.send(M.CHUNK_PROCESSED)
        })
        for (let time = 0; time < 2; time++) {
          yield* takeBook
          const asking = yield* asked.accept
          yield* receive(asking, M.consultOf(AGENCY))
          yield* asking[how]
        }
        yield* takeBook
        const asking = yield* asked.accept
        yield* receive(asking, M.consultOf(AGENCY))
        yield* asking.send(M.json({ type_message: 2, payload: "30,40" }))
        expect(yield* documents).toEqual(["30", "40"])
        expect(told.filter((what) => typeof what === "number")).toEqual([2, 2, 4, 2, 4, 2, 4])
      })
    )
  }

  it.live("a refusal is final and has a reason", () =>
    Effect.gen(function* () {
      const { bets, documents } = yield* hold(conversation)
      const agency = yield* bets.accept
      yield* take(agency, chunks.slice(0, 1), M.CHUNK_PROCESSED)
      yield* agency.send(M.json({ type_message: 3, payload: "another book" }))
      expect(yield* Effect.flip(documents)).toMatchObject({
        retryable: false,
        message: "the server refused: another book"
      })
    })
  )
})
