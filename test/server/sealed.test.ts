/**
 * Goal: in a sealed draw a native client gets its receipt, the seal as soon as there is one and
 * always before its winners, and the signed result; clients of the course notice nothing; a missed
 * draw is never told as one without winners (docs/wire.md, "The sealed draw"). Method: the server
 * in this process, on the test clock.
 */
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import type { NumberSource } from "../../src/domain/Draw.ts"
import { openResult } from "../../src/protocol/notes/DrawResult.ts"
import { openReceipt } from "../../src/protocol/notes/Receipt.ts"
import { openProof } from "../../src/protocol/notes/TlogProof.ts"
import { ModelMachine, type ModelPeer } from "../support/model/ModelMachine.ts"
import * as M from "../support/peers/messages.ts"
import * as Sealed from "../support/peers/SealedServer.ts"

const OPERATOR = Sealed.KEY.verifier
const ANNOUNCED: NumberSource = { _tag: "announced" }
const FIXED: NumberSource = { _tag: "fixed", number: 7574 }
const AT_ROUND: NumberSource = { _tag: "drand", at: { round: 1000 } }
const BETS = [M.fields(10, 7574), M.fields(11), M.fields(12, 7574)]

const machineOf = Effect.fnUntraced(function* (source: NumberSource, key = Sealed.KEY) {
  const machine = new ModelMachine([1, 2], 7574, {}, { source }, key)
  yield* machine.start
  return machine
})

const heardBy = (machine: ModelMachine, peer: ModelPeer) =>
  Effect.map(machine.settle, () => M.controlsIn(peer.heard()))

/** Sends the messages of a native client and returns the answers. */
const say = Effect.fnUntraced(function* (machine: ModelMachine, ...messages: Array<Buffer>) {
  const peer = yield* machine.connect("native")
  peer.send(Buffer.concat(messages))
  return { peer, heard: yield* heardBy(machine, peer) }
})

const sendBook = (machine: ModelMachine, agency: number, bets = BETS) =>
  say(machine, M.helloOf(agency), M.betsOf(0, bets), M.finishOf(bets))

const announce = Effect.fnUntraced(function* (machine: ModelMachine) {
  yield* machine.store.recordNumber(7574)
  yield* machine.lookAgain
})

const kindsOf = (heard: ReadonlyArray<Record<string, unknown>>) =>
  heard.map(({ _tag, seal }) => (seal === undefined ? _tag : `${_tag} with the seal`))

const entriesIn = (message: Record<string, unknown> | undefined) =>
  (Array.isArray(message?.seal) ? message.seal : []).map(
    (proof) => Result.getOrThrow(openProof(String(proof), "default", OPERATOR)).entry
  )

describe("a native client", () => {
  it.effect("gets a receipt that promises the rule, and again if it says Finish again", () =>
    Effect.gen(function* () {
      const machine = yield* machineOf(ANNOUNCED)
      const { heard } = yield* sendBook(machine, 1)
      const { receipt } = heard.at(-1) ?? {}
      expect(Result.getOrThrow(openReceipt(String(receipt), OPERATOR))).toEqual({
        draw: "default",
        agency: 1,
        bets: 3,
        sha256: M.sha256Of(M.rowsOf(BETS)),
        source: ANNOUNCED
      })
      const again = yield* say(machine, M.helloOf(1), M.finishOf(BETS))
      expect(again.heard.at(-1)).toEqual({ ...heard.at(-1), receipt })
    })
  )

  it.effect("gets the seal at once, once a connection, and then the result with its winners", () =>
    Effect.gen(function* () {
      const machine = yield* machineOf(ANNOUNCED)
      yield* sendBook(machine, 1)
      const { heard, peer } = yield* say(machine, M.helloOf(1), M.AWAIT_WINNERS)
      expect(kindsOf(heard)).toEqual(["Welcome", "Waiting"])
      yield* sendBook(machine, 2, [])
      // The clock stands still: the seal does not wait for the pause between two messages.
      const shown = yield* heardBy(machine, peer)
      expect(kindsOf(shown)).toEqual(["Waiting with the seal"])
      expect(shown[0]).toMatchObject({ finished: 2, expected: 2 })
      expect(entriesIn(shown[0])).toEqual([
        expect.stringMatching(/^lottery-seal\/v1 default 2 3 \d+ announced\n$/),
        expect.stringMatching(/^book 1 3 \d+ \w{64} \w{32}\n$/)
      ])
      yield* TestClock.adjust("31 seconds")
      expect(kindsOf(yield* heardBy(machine, peer))).toEqual(["Waiting", "Waiting", "Waiting"])
      const second = yield* say(machine, M.helloOf(1), M.AWAIT_WINNERS)
      expect(kindsOf(second.heard)).toEqual(["Welcome", "Waiting", "Waiting with the seal"])
      yield* announce(machine)
      const winners = yield* heardBy(machine, peer)
      expect(winners).toEqual([
        {
          ...{ _tag: "Winners", number: 7574, documents: ["10", "12"], more: false },
          result: expect.any(String)
        }
      ])
      expect(yield* heardBy(machine, second.peer)).toEqual(winners)
      const { result } = winners[0] ?? {}
      expect(Result.getOrThrow(openResult(String(result), OPERATOR))).toMatchObject({
        draw: "default",
        number: 7574,
        winners: [{ agency: 1, count: 2 }]
      })
    })
  )

  it.effect("gets the seal first if the draw is held at the same moment, or was before", () =>
    Effect.gen(function* () {
      const machine = yield* machineOf(FIXED)
      yield* sendBook(machine, 1)
      const waiting = yield* say(machine, M.helloOf(1), M.AWAIT_WINNERS)
      yield* sendBook(machine, 2)
      expect(kindsOf(yield* heardBy(machine, waiting.peer))).toEqual([
        "Waiting with the seal",
        "Winners"
      ])
      const late = yield* say(machine, M.helloOf(2), M.AWAIT_WINNERS)
      const expected = ["Welcome", "Waiting", "Waiting with the seal", "Winners"]
      expect(kindsOf(late.heard)).toEqual(expected)
      yield* machine.restart("killed")
      const restarted = yield* say(machine, M.helloOf(2), M.AWAIT_WINNERS)
      expect(restarted.heard.slice(1)).toEqual(late.heard.slice(1))
    })
  )

  it.effect("gets the result with the first of several messages", () =>
    Effect.gen(function* () {
      const machine = yield* machineOf(FIXED)
      const bets = Array.from({ length: 50_001 }, (_, index) => M.fields(index, 7574))
      const whole = M.betsOf(0, bets.slice(0, 25_000))
      const rest = M.betsOf(25_000, bets.slice(25_000))
      yield* say(machine, M.helloOf(1), whole, rest, M.finishOf(bets))
      yield* sendBook(machine, 2)
      const { heard } = yield* say(machine, M.helloOf(1), M.AWAIT_WINNERS)
      const winners = heard.filter(({ _tag }) => _tag === "Winners")
      expect(winners.map((message) => ["result" in message, message.more])).toEqual([
        [true, true],
        [false, false]
      ])
    })
  )

  it.effect("gets none of it without a key", () =>
    Effect.gen(function* () {
      const machine = new ModelMachine([1], 7574)
      yield* machine.start
      const { peer, heard } = yield* sendBook(machine, 1)
      peer.send(M.AWAIT_WINNERS)
      const all = [...heard, ...(yield* heardBy(machine, peer))]
      expect(kindsOf(all)).toEqual(["Welcome", "Ack", "Finished", "Waiting", "Winners"])
      for (const message of all) {
        for (const key of ["receipt", "seal", "result"]) expect(message).not.toHaveProperty(key)
      }
    })
  )
})

it.effect("clients of the course take part in a sealed draw unchanged", () =>
  Effect.gen(function* () {
    const heardWith = Effect.fnUntraced(function* (machine: ModelMachine) {
      yield* machine.start
      const binary = yield* machine.connect("binary")
      binary.send(Buffer.concat([M.packetOf(1, BETS, false), M.packet("1;", false)]))
      const json = yield* machine.connect("json")
      json.send(Buffer.concat([M.chunkOf(2, BETS, true), M.consultOf(2)]))
      yield* machine.settle
      return [binary.heard(), json.heard()]
    })
    const plain = yield* heardWith(new ModelMachine([1, 2], 7574))
    const sealed = yield* heardWith(new ModelMachine([1, 2], 7574, {}, {}, Sealed.KEY))
    expect(sealed).toEqual(plain)
    expect(plain[0]).toEqual(Buffer.concat([M.STORED, M.winnersOf(10, 12)]))
  })
)

describe("a missed draw", () => {
  const WHY =
    "the draw default was missed: its books were not closed before drand round 1000 was " +
    "published; start another draw with a later --draw-at"

  /** Starts a draw before its round and lets agency 1 wait; agency 2 does not finish in time. */
  const miss = Effect.fnUntraced(function* () {
    yield* TestClock.setTime(1000 * Sealed.BEFORE_ROUND)
    const machine = yield* machineOf(AT_ROUND)
    return machine
  })
  const pass = Effect.fnUntraced(function* (machine: ModelMachine) {
    yield* TestClock.setTime(1000 * Sealed.AFTER_ROUND)
    yield* machine.lookAgain
  })

  it.effect("is told to a native client that waits, and to one that comes later", () =>
    Effect.gen(function* () {
      const machine = yield* miss()
      const { peer } = yield* sendBook(machine, 1)
      peer.send(M.AWAIT_WINNERS)
      yield* heardBy(machine, peer)
      yield* pass(machine)
      const missed = { _tag: "Rejected", code: "Missed", message: WHY }
      expect((yield* heardBy(machine, peer)).at(-1)).toEqual(missed)
      expect(peer.isClosed()).toBe(true)
      const late = yield* say(machine, M.helloOf(1), M.AWAIT_WINNERS)
      expect(late.heard.at(-1)).toEqual(missed)
    })
  )

  it.effect("is told in JSON, and in binary packets the connection closes without a byte", () =>
    Effect.gen(function* () {
      const machine = yield* miss()
      const binary = yield* machine.connect("binary")
      binary.send(Buffer.concat([M.packetOf(1, BETS, false), M.packet("1;", false)]))
      const json = yield* machine.connect("json")
      json.send(M.consultOf(2))
      yield* machine.settle
      expect(binary.heard()).toEqual(M.STORED)
      yield* pass(machine)
      expect(binary.heard()).toEqual(Buffer.alloc(0))
      expect(binary.isClosed()).toBe(true)
      expect(M.readJson(json.heard())).toEqual({ type_message: 3, payload: WHY })
      expect(machine.log.filter((line) => line.includes("result: fail"))).toContain(
        `action: consulta_ganadores | result: fail | agencia: 1 | ip: 127.0.0.1 | error: ${WHY}`
      )
    })
  )
})
