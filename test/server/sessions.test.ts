/**
 * Goal: edge cases of sessions, such as a shutdown, a disconnection in mid-book, or winners that
 * just fill a message. Method: sessions in this process, on the test clock.
 */
import { it } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { type Dialect, ModelMachine, type ModelPeer } from "../support/model/ModelMachine.ts"
import * as M from "../support/peers/messages.ts"

const BETS = [M.fields(10), M.fields(11, 7574), M.fields(12)]

/** Returns the native messages that a peer received since the last call. */
const heardBy = (machine: ModelMachine, peer: ModelPeer) =>
  Effect.map(machine.settle, () => M.controlsIn(peer.heard()))

const twoAgencies = () => new ModelMachine([1, 2], 7574)

/** Starts the server, connects and sends the messages. */
const begin = Effect.fnUntraced(function* (
  machine: ModelMachine,
  dialect: Dialect,
  messages: ReadonlyArray<Uint8Array>
) {
  yield* machine.start
  const peer = yield* machine.connect(dialect)
  peer.send(Buffer.concat(messages))
  yield* machine.settle
  return peer
})

/** Stops the server and lets the time pass that its sessions need to end. */
const stop = Effect.fnUntraced(function* (machine: ModelMachine) {
  const stopping = yield* Effect.forkChild(machine.stop)
  yield* machine.settle
  yield* TestClock.adjust("1 second")
  expect(stopping.pollUnsafe()).toBeDefined()
})

describe("a shutdown of the server", () => {
  it.effect("is announced to an agency that waits for its winners, but not after them", () =>
    Effect.gen(function* () {
      const waits = [M.helloOf(1), M.finishOf([]), M.AWAIT_WINNERS]
      for (const [machine, last] of [
        [twoAgencies(), "Rejected"],
        [new ModelMachine([1], 7574), "Winners"]
      ] as const) {
        const peer = yield* begin(machine, "native", waits)
        yield* stop(machine)
        expect((yield* heardBy(machine, peer)).at(-1)?._tag).toBe(last)
      }
    })
  )

  it.effect("waits for a book that is being finished, and the peer gets its answer", () =>
    Effect.gen(function* () {
      const free = yield* Latch.make()
      const machine = new ModelMachine([1, 2], 7574, {
        store: (store) => ({
          ...store,
          finish: (...end) => Effect.andThen(free.await, store.finish(...end))
        })
      })
      const peer = yield* begin(machine, "native", [M.helloOf(1), M.finishOf([])])
      const stopping = yield* Effect.forkChild(machine.stop)
      yield* machine.settle
      yield* free.open
      expect((yield* heardBy(machine, peer)).map(({ _tag }) => _tag)).toContain("Finished")
      yield* TestClock.adjust("1 second")
      expect(stopping.pollUnsafe()).toBeDefined()
    })
  )

  it.effect("waits until an agency that closed after its winners is recorded", () =>
    Effect.gen(function* () {
      const free = yield* Latch.make()
      let recorded = false
      const machine = new ModelMachine([1], 7574, {
        store: (store) => ({
          ...store,
          told: (agency) =>
            Effect.tap(Effect.andThen(free.await, store.told(agency)), () =>
              Effect.sync(() => {
                recorded = true
              })
            )
        })
      })
      const asks = [M.helloOf(1), M.finishOf([]), M.AWAIT_WINNERS]
      const peer = yield* begin(machine, "native", asks)
      peer.halfClose()
      yield* machine.settle
      const stopping = yield* Effect.forkChild(machine.stop)
      yield* machine.settle
      yield* free.open
      yield* Fiber.join(stopping)
      expect(recorded).toBe(true)
    })
  )
})

it.effect("a binary client stays connected after a discard, until the draw or its own close", () =>
  Effect.gen(function* () {
    for (const goes of [true, false]) {
      const machine = twoAgencies()
      const peer = yield* begin(machine, "binary", [M.packetOf(1, [], false)])
      yield* machine.discard(1)
      expect([peer.heard(), peer.isClosed()]).toEqual([M.STORED, false])
      if (goes) {
        peer.halfClose()
        yield* machine.settle
      } else {
        for (const agency of [1, 2]) {
          const again = yield* machine.connect("binary")
          again.send(M.packetOf(agency, [], false))
          yield* machine.settle
        }
      }
      expect([peer.heard(), peer.isClosed()]).toEqual([Buffer.alloc(0), true])
    }
  })
)

describe("an agency that disconnects", () => {
  const WHOLE = {
    native: [M.helloOf(1), M.betsOf(0, BETS), M.finishOf(BETS)],
    binary: [M.packetOf(1, BETS, false)],
    json: [M.chunkOf(1, BETS, true)]
  }
  const PART = {
    native: [M.helloOf(1), M.betsOf(0, BETS)],
    binary: [M.packetOf(1, BETS, true)],
    json: [M.chunkOf(1, BETS, false)]
  }
  const DISCONNECTED =
    "action: apuesta_recibida | result: in_progress | agencia: 1 | posicion: 3 | ip: 127.0.0.1 | " +
    "error: the agency disconnected before it finished its book"

  it.effect.each(["native", "binary", "json"] as const)(
    "is logged in the middle of its book, but not after it: %s",
    (dialect) =>
      Effect.gen(function* () {
        for (const [messages, lines] of [
          [PART[dialect], [DISCONNECTED]],
          [WHOLE[dialect], []]
        ] as const) {
          for (const way of ["halfClose", "drop"] as const) {
            const machine = twoAgencies()
            const peer = yield* begin(machine, dialect, messages)
            peer[way]()
            yield* machine.settle
            expect(machine.log.filter((line) => line.includes("in_progress"))).toEqual(lines)
          }
        }
      })
  )
})

describe("a discard", () => {
  const WHY =
    "the stored book of agency 1 was discarded; start the client again with the right book"

  const OF_BETS = "apuesta_recibida | result: fail | agencia: 1 | posicion: 3"
  const OF_QUESTION = "consulta_ganadores | result: fail | agencia: 1"
  const NATIVE = [M.helloOf(1), M.betsOf(0, BETS), M.finishOf(BETS), M.AWAIT_WINNERS]

  it.effect.each([
    ["native", NATIVE, [], [OF_BETS]],
    ["json", [M.chunkOf(1, BETS, true), M.consultOf(1)], [], [OF_BETS]],
    ["json", [M.chunkOf(1, BETS, true)], [M.consultOf(1)], [OF_BETS, OF_QUESTION]]
  ] as const)(
    "is logged by the purpose of each connection: %s",
    ([dialect, first, second, lines]) =>
      Effect.gen(function* () {
        const machine = twoAgencies()
        yield* begin(machine, dialect, first)
        const other = yield* machine.connect(dialect)
        other.send(Buffer.concat(second))
        yield* machine.settle
        yield* machine.discard(1)
        expect(machine.log.filter((line) => line.includes("result: fail"))).toEqual(
          lines.map((line) => `action: ${line} | ip: 127.0.0.1 | error: ${WHY}`)
        )
      })
  )
})

describe("a request for winners", () => {
  it.effect("on its own connection is refused once the book is discarded", () =>
    Effect.gen(function* () {
      const machine = twoAgencies()
      yield* begin(machine, "json", [M.chunkOf(1, [], true)])
      const asking = yield* machine.connect("json")
      asking.send(M.consultOf(1))
      yield* machine.settle
      expect(asking.heard()).toEqual(Buffer.alloc(0))
      yield* machine.discard(1)
      expect(M.readJson(asking.heard())).toEqual({
        type_message: 3,
        payload: expect.stringContaining("agency 1 was discarded")
      })
    })
  )

  it.effect.each([
    ["by an agency that does not take part", [M.consultOf(7)], "does not take part in the draw"],
    [
      "by another agency than the one that sent its book",
      [M.chunkOf(1, [], true), M.consultOf(2)],
      "this connection belongs to agency 1, got a message for agency 2"
    ]
  ] as const)("%s is refused", ([, messages, reason]) =>
    Effect.gen(function* () {
      const machine = twoAgencies()
      const peer = yield* begin(machine, "json", messages)
      const refusal = peer.heard().subarray((messages.length - 1) * M.CHUNK_PROCESSED.length)
      expect(M.readJson(refusal)).toEqual({
        type_message: 3,
        payload: expect.stringContaining(reason)
      })
      expect(peer.isClosed()).toBe(true)
    })
  )
})

it.effect("a JSON message of more than 256 KiB waits for its turn to be parsed", () =>
  Effect.gen(function* () {
    const bets = Array.from({ length: 8000 }, () => M.fields(1_000_000_000))
    const machine = twoAgencies()
    yield* machine.start
    const peer = yield* machine.connect("json")
    yield* peer.memory.largeJson.take(1)
    peer.send(M.chunkOf(1, BETS, false))
    peer.send(M.chunkOf(1, bets, false))
    yield* machine.settle
    expect(peer.heard()).toEqual(M.CHUNK_PROCESSED)
    yield* peer.memory.largeJson.release(1)
    yield* machine.settle
    expect(peer.heard()).toEqual(M.CHUNK_PROCESSED)
  })
)

describe("packets", () => {
  it.effect("with one bet are logged with the bet, unless it was already stored", () =>
    Effect.gen(function* () {
      const machine = twoAgencies()
      const packet = M.packetOf(1, [M.fields(10)], true)
      yield* begin(machine, "binary", [packet])
      const again = yield* machine.connect("binary")
      again.send(packet)
      yield* machine.settle
      expect(again.heard()).toEqual(M.STORED)
      expect(machine.log.filter((line) => line.includes("apuesta_almacenada"))).toEqual([
        "action: apuesta_almacenada | result: success | dni: 10 | numero: 1"
      ])
    })
  )

  it.effect("that are refused are logged with the position of the bad bet in the book", () =>
    Effect.gen(function* () {
      const bad = [M.fields(13), M.fields(14).with(3, "1999-02-31")]
      const machine = twoAgencies()
      yield* begin(machine, "binary", [M.packetOf(1, BETS, true), M.packetOf(1, bad, true)])
      expect(machine.log.at(-1)).toContain(
        "result: fail | cantidad: 2 | agencia: 1 | posicion: 4 | ip: 127.0.0.1 | error: bet 2: "
      )
    })
  )

  it.effect("of more than 1 MiB that arrive together are stored in several commits", () =>
    Effect.gen(function* () {
      const bets = Array.from({ length: 1750 }, () => M.fields(1_000_000_000))
      const packets = Array.from({ length: 20 }, () => M.packetOf(1, bets, true))
      const machine = twoAgencies()
      const peer = yield* begin(machine, "binary", packets)
      expect(peer.heard()).toHaveLength(40)
      const stored = machine.log.filter((line) => line.includes("apuestas_almacenadas"))
      expect(stored).toHaveLength(2)
    })
  )
})

describe("native frames", () => {
  it.effect("of more than 1 MiB are stored in several commits, each of them acknowledged", () =>
    Effect.gen(function* () {
      const bets = Array.from({ length: 16_000 }, () => M.fields(1_000_000_000))
      const frames = [0, 1, 2, 3].map((frame) => M.betsOf(frame * bets.length, bets))
      const peer = yield* begin(twoAgencies(), "native", [M.helloOf(1), ...frames])
      const acknowledged = M.controlsIn(peer.heard()).slice(1)
      expect(acknowledged.map(({ bets: held }) => Number(held) / bets.length)).toEqual([1, 2, 3, 4])
    })
  )

  it.effect("that arrive together are stored up to the first one with a wrong position", () =>
    Effect.gen(function* () {
      for (const [position, code] of [
        [5, "Conflict"],
        [7, "Gap"]
      ] as const) {
        const machine = twoAgencies()
        const frames = [M.betsOf(0, BETS), M.betsOf(3, BETS), M.betsOf(position, BETS)]
        const peer = yield* begin(machine, "native", [M.helloOf(1), ...frames])
        expect(M.controlsIn(peer.heard()).slice(1)).toMatchObject([
          { _tag: "Ack", bets: 6 },
          { _tag: "Rejected", code, position }
        ])
        expect((yield* machine.store.progressOf(1)).bets).toBe(6)
      }
    })
  )

  it.effect.each([
    ["from another position", [M.COMPARE, M.betsOf(1, BETS)], "Gap"],
    ["from the same position again", [M.COMPARE, M.betsOf(0, BETS), M.betsOf(0, BETS)], "Conflict"],
    ["a second time", [M.COMPARE, M.COMPARE], "Malformed"],
    ["to finish the book", [M.COMPARE, M.betsOf(0, BETS), M.finishOf(BETS)], "Malformed"]
  ] as const)("are not compared %s", ([, frames, code]) =>
    Effect.gen(function* () {
      const book = [M.helloOf(1), M.betsOf(0, BETS)]
      const peer = yield* begin(twoAgencies(), "native", [...book, ...frames])
      expect(M.controlsIn(peer.heard()).at(-1)).toMatchObject({ _tag: "Rejected", code })
    })
  )

  it.effect(
    "that are refused get a reason of at most 500 UTF-16 units, without half a character",
    () =>
      Effect.gen(function* () {
        // The 500th unit is the first half of a surrogate pair.
        const before = "this server runs the draw default, but agency 1 asked for ".length
        const draw = `${"x".repeat(499 - before)}\u{1f340}x`
        const peer = yield* begin(twoAgencies(), "native", [M.helloOf(1, draw)])
        const [rejected] = M.controlsIn(peer.heard())
        expect(rejected).toMatchObject({ code: "WrongDraw" })
        expect(rejected?.message).toMatch(/x\ufffd$/)
        expect(rejected?.message).toHaveLength(500)
      })
  )
})

describe("the winners", () => {
  it.effect.each(["native", "binary", "json"] as const)(
    "are the last message, and the server half-closes right after it: %s",
    (dialect) =>
      Effect.gen(function* () {
        const whole = {
          native: [M.helloOf(1), M.finishOf([]), M.AWAIT_WINNERS],
          binary: [M.packetOf(1, [], false), M.packet("1;", false)],
          json: [M.chunkOf(1, [], true), M.consultOf(1)]
        }
        const machine = twoAgencies()
        const peer = yield* begin(machine, dialect, whole[dialect])
        expect(peer.isEnded()).toBe(false)
        const second = yield* machine.connect("binary")
        second.send(M.packetOf(2, [], false))
        yield* machine.settle
        expect([peer.isEnded(), peer.isClosed()]).toEqual([true, false])
      })
  )

  it.effect("that just fill a message are sent in one, which is the last", () =>
    Effect.gen(function* () {
      const documents = Array.from({ length: 50_000 }, (_, index) => String(1_000_000_000 + index))
      const rows = M.rowsOf(documents.map((document) => M.fields(Number(document))))
      const winning = new BetBatch(Buffer.from(rows), documents.length)
      const machine = new ModelMachine([1], 7574, {
        store: (store) => ({ ...store, winners: Effect.succeed(new Map([[1, winning]])) })
      })
      const asks = [M.helloOf(1), M.finishOf([]), M.AWAIT_WINNERS]
      const peer = yield* begin(machine, "native", asks)
      const winners = M.controlsIn(peer.heard()).filter(({ _tag }) => _tag === "Winners")
      expect(winners).toEqual([{ _tag: "Winners", number: 7574, documents, more: false }])
    })
  )
})
