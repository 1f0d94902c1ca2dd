/**
 * Goal: a peer has exactly the configured time to send a message, to begin the next one and to
 * read; time in which the server has no room does not count. Method: conversations within this
 * process, on the test clock.
 */
import { it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { ConnectionLost, MAX_UNSENT_BYTES } from "../../../src/protocol/PeerConnection.ts"
import { Memory, MessageMemory } from "../../../src/server/admission/MessageMemory.ts"
import { defaultLimits } from "../../../src/server/admission/ServerLimits.ts"
import { awaitMessage, inTime, writeInTime } from "../../../src/server/admission/Timeouts.ts"
import * as ModelConnection from "../../support/model/ModelConnection.ts"
import { ModelMachine, type ModelPeer } from "../../support/model/ModelMachine.ts"
import { makeSettableClock } from "../../support/model/SettableClock.ts"
import * as M from "../../support/peers/messages.ts"

const { farewellTimeout, idleTimeout, lingerTimeout, messageTimeout, writeTimeout } = defaultLimits
const BETS = [M.fields(10), M.fields(11)]

/** The same messages in each dialect. */
const DIALECTS = [
  {
    dialect: "binary",
    first: M.packetOf(1, BETS, true),
    next: M.packetOf(1, BETS, true),
    last: M.packetOf(1, BETS, false),
    question: M.packet("1;", false)
  },
  {
    dialect: "json",
    first: M.chunkOf(1, BETS, false),
    next: M.chunkOf(1, BETS, false),
    last: M.chunkOf(1, BETS, true),
    question: M.consultOf(1)
  },
  {
    dialect: "native",
    first: Buffer.concat([M.helloOf(1), M.betsOf(0, BETS)]),
    next: M.betsOf(2, BETS),
    last: M.finishOf(BETS),
    question: M.AWAIT_WINNERS
  }
] as const

const begin = Effect.fnUntraced(function* ({ dialect, first }: (typeof DIALECTS)[number]) {
  const machine = new ModelMachine([1, 2], 7574)
  yield* machine.start
  const peer = yield* machine.connect(dialect)
  peer.send(first)
  yield* machine.settle
  expect(peer.heard().length).toBeGreaterThan(0)
  return { machine, peer }
})

const isOpenAfter = (machine: ModelMachine, peer: ModelPeer, time: Duration.Input) =>
  Effect.gen(function* () {
    yield* TestClock.adjust(time)
    yield* machine.settle
    return !peer.isClosed()
  })

describe.each(DIALECTS)("in $dialect", (words) => {
  it.effect("the time for a message starts at its first byte and is not extended by others", () =>
    Effect.gen(function* () {
      const { machine, peer } = yield* begin(words)
      const bytes = words.next.subarray(0, 20)
      const between = Duration.toMillis(messageTimeout) / bytes.length
      for (const [index, byte] of bytes.entries()) {
        peer.send(Uint8Array.of(byte))
        yield* machine.settle
        const isLast = index === bytes.length - 1
        expect(yield* isOpenAfter(machine, peer, between - (isLast ? 1 : 0))).toBe(true)
      }
      expect(peer.heard()).toEqual(Buffer.alloc(0))
      expect(yield* isOpenAfter(machine, peer, 1)).toBe(false)
      expect(peer.heard().length).toBeGreaterThan(0)
    })
  )

  it.effect("the time between messages of an upload is separate and starts again after each", () =>
    Effect.gen(function* () {
      const { machine, peer } = yield* begin(words)
      expect(yield* isOpenAfter(machine, peer, Duration.toMillis(idleTimeout) - 1)).toBe(true)
      peer.send(words.next.subarray(0, 1))
      yield* machine.settle
      expect(yield* isOpenAfter(machine, peer, Duration.toMillis(messageTimeout) - 1)).toBe(true)
      peer.send(words.next.subarray(1))
      yield* machine.settle
      expect(yield* isOpenAfter(machine, peer, Duration.toMillis(idleTimeout) - 1)).toBe(true)
      expect(yield* isOpenAfter(machine, peer, 1)).toBe(false)
      expect((yield* machine.store.progressOf(1)).bets).toBe(4)
    })
  )

  it.effect("an agency that waits for the draw has no time limit", () =>
    Effect.gen(function* () {
      const { machine, peer } = yield* begin(words)
      peer.send(Buffer.concat([words.last, words.question]))
      yield* machine.settle
      expect(yield* isOpenAfter(machine, peer, "2 hours")).toBe(true)
    })
  )
})

/** A connected peer. */
const makePeer = () => {
  const memory = Memory.make(defaultLimits.maxMemoryBytes)
  const held = new MessageMemory(memory, "127.0.0.1", memory.makeShare())
  const { connection, send } = ModelConnection.make(held.room)
  const accepted = Effect.void
  const peer = { ip: "127.0.0.1", connection, memory: held, certificate: undefined, accepted }
  return { memory, peer, send }
}

describe("the time for a peer to send", () => {
  it.effect("does not run out while the peer waits for an answer", () =>
    Effect.gen(function* () {
      const { peer, send } = makePeer()
      send(Buffer.alloc(10))
      yield* peer.connection.reader.take(10)
      const waiting = yield* Effect.forkChild(Effect.exit(awaitMessage(peer)))
      yield* TestClock.adjust(10 * Duration.toMillis(idleTimeout))
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* peer.memory.answered(10)
      yield* TestClock.adjust(idleTimeout)
      expect(String(yield* Fiber.join(waiting))).toContain("TooSlow")
    })
  )

  it.effect("does not change if the wall clock is set back, even while there is no room", () =>
    Effect.gen(function* () {
      const { run, setBack } = yield* makeSettableClock
      const { memory, peer } = makePeer()
      yield* memory.unaccepted.take("another address", memory.unaccepted.capacity)
      const awaited = { what: "all of it", timeout: messageTimeout }
      const reading = yield* inTime(peer, awaited, peer.connection.reader.take(100_000)).pipe(
        Effect.exit,
        run,
        Effect.forkChild
      )
      yield* TestClock.adjust("1 minute")
      yield* setBack("1 hour")
      yield* TestClock.adjust("1 minute")
      yield* memory.unaccepted.release(memory.unaccepted.capacity)
      yield* TestClock.adjust(1)
      yield* setBack("1 hour")
      yield* TestClock.adjust(Duration.toMillis(messageTimeout) - 2)
      expect(reading.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      expect(reading.pollUnsafe()).toBeDefined()
    })
  )

  it.effect.each([
    [100, 0],
    [101, 101],
    [7_000, 7_000],
    [3_600_000, 30_000]
  ] as const)(
    "ends later if the server stalls: %i ms of stall, %i ms more",
    ([stoodStill, later]) =>
      Effect.gen(function* () {
        const { run, standStill } = yield* makeSettableClock
        const { peer, send } = makePeer()
        const awaited = { what: "all of it", timeout: messageTimeout }
        const reading = yield* inTime(peer, awaited, peer.connection.reader.take(100)).pipe(
          Effect.exit,
          run,
          Effect.forkChild
        )
        send(Buffer.alloc(99))
        yield* TestClock.adjust("1 second")
        yield* standStill(stoodStill)
        yield* TestClock.adjust(Duration.toMillis(messageTimeout) - 1000)
        if (later > 0) {
          yield* TestClock.adjust(later - 1)
          expect(reading.pollUnsafe()).toBeUndefined()
          yield* TestClock.adjust(1)
        }
        expect(String(yield* Fiber.join(reading))).toContain("TooSlow")
      })
  )

  it.effect("is at most doubled, however often the server stalls", () =>
    Effect.gen(function* () {
      const { run, standStill } = yield* makeSettableClock
      const { peer } = makePeer()
      const awaited = { what: "all of it", timeout: Duration.seconds(30) }
      const reading = yield* inTime(peer, awaited, Effect.never).pipe(
        Effect.exit,
        run,
        Effect.forkChild
      )
      yield* TestClock.adjust(0)
      for (const left of ["30 seconds", "20 seconds", "10 seconds"] as const) {
        expect(reading.pollUnsafe()).toBeUndefined()
        yield* standStill("20 seconds")
        yield* TestClock.adjust(left)
      }
      expect(String(yield* Fiber.join(reading))).toContain("TooSlow")
    })
  )

  it.effect("does not pass while there is no room for the message", () =>
    Effect.gen(function* () {
      const { memory, peer, send } = makePeer()
      const { connection } = peer
      yield* memory.unaccepted.take("another address", memory.unaccepted.capacity)
      const awaited = { what: "all of it", timeout: messageTimeout }
      const reading = yield* Effect.forkChild(
        Effect.exit(inTime(peer, awaited, connection.reader.take(100_000)))
      )
      yield* TestClock.adjust("86410 seconds")
      expect(reading.pollUnsafe()).toBeUndefined()
      yield* memory.unaccepted.release(memory.unaccepted.capacity)
      yield* TestClock.adjust(Duration.toMillis(messageTimeout) - 1)
      expect(reading.pollUnsafe()).toBeUndefined()
      send(Buffer.alloc(70))
      yield* TestClock.adjust(1)
      const exit = yield* Fiber.join(reading)
      expect(Exit.isFailure(exit)).toBe(true)
      expect(String(exit)).toContain("TooSlow")
    })
  )
})

/** A connection that takes what is written when `take` is called, and a writer to it. */
const makeOutflow = () => {
  let taken: (() => void) | undefined
  let isDestroyed = false
  const link = {
    destroy: () => {
      isDestroyed = true
      taken?.()
    }
  }
  const write = () =>
    Effect.callback<void, ConnectionLost>((resume) => {
      taken = () =>
        resume(isDestroyed ? Effect.fail(new ConnectionLost({ reason: "gone" })) : Effect.void)
    })
  return {
    write: writeInTime({ write, writeNow: () => false }, writeTimeout, link),
    take: () => taken?.(),
    isDestroyed: () => isDestroyed
  }
}

describe("the time for a peer to read", () => {
  const MIB = 1024 * 1024

  it.effect("starts again with each piece that the peer reads", () =>
    Effect.gen(function* () {
      const { isDestroyed, take, write } = makeOutflow()
      const writing = yield* Effect.forkChild(Effect.exit(write(new Uint8Array(MIB))))
      let pieces = 0
      for (; writing.pollUnsafe() === undefined && pieces < 100; pieces++) {
        yield* TestClock.adjust(Duration.toMillis(writeTimeout) - 1)
        expect(isDestroyed()).toBe(false)
        take()
        yield* TestClock.adjust(0)
      }
      expect(pieces).toBe(MIB / MAX_UNSENT_BYTES)
      expect(yield* Fiber.join(writing)).toEqual(Exit.void)
    })
  )

  it.effect("starts again if the server stalls", () =>
    Effect.gen(function* () {
      const { run, standStill } = yield* makeSettableClock
      const { isDestroyed, take, write } = makeOutflow()
      const writing = yield* Effect.forkChild(
        run(Effect.exit(write(new Uint8Array(MAX_UNSENT_BYTES))))
      )
      yield* TestClock.adjust(1)
      yield* standStill("1 minute")
      yield* TestClock.adjust(Duration.toMillis(writeTimeout))
      expect(isDestroyed()).toBe(false)
      take()
      expect(yield* Fiber.join(writing)).toEqual(Exit.void)
    })
  )

  it.effect("ends the connection if nothing is read, even in an uninterruptible write", () =>
    Effect.gen(function* () {
      const cases = [
        { within: Effect.interruptible, bytes: MAX_UNSENT_BYTES },
        { within: Effect.uninterruptible, bytes: MIB }
      ]
      for (const { bytes, within } of cases) {
        const { isDestroyed, write } = makeOutflow()
        const writing = yield* Effect.forkChild(Effect.exit(within(write(new Uint8Array(bytes)))))
        yield* TestClock.adjust(Duration.toMillis(writeTimeout) - 1)
        expect(isDestroyed()).toBe(false)
        yield* TestClock.adjust(1)
        expect(isDestroyed()).toBe(true)
        expect(Exit.isFailure(yield* Fiber.join(writing))).toBe(true)
      }
    })
  )
})

describe("the time to close after the winners were sent", () => {
  it.effect("starts again if the server stalls", () =>
    Effect.gen(function* () {
      const { run, standStill } = yield* makeSettableClock
      const machine = new ModelMachine([1], 7574)
      yield* machine.start
      const peer = yield* run(machine.connect("native"))
      peer.send(Buffer.concat([M.helloOf(1), M.finishOf([]), M.AWAIT_WINNERS]))
      yield* machine.settle
      expect(M.controlsIn(peer.heard()).at(-1)).toMatchObject({ _tag: "Winners" })
      yield* standStill("1 hour")
      expect(yield* isOpenAfter(machine, peer, farewellTimeout)).toBe(true)
      peer.halfClose()
      yield* machine.settle
      expect((yield* machine.store.progressOf(1)).told).toBe(true)
    })
  )

  it.effect.each(["binary", "json"] as const)(
    "is 1 s in dialects whose clients may stay, and then the winners count as sent: %s",
    (dialect) =>
      Effect.gen(function* () {
        const { last, question } = DIALECTS.find((words) => words.dialect === dialect)!
        const machine = new ModelMachine([1], 7574)
        yield* machine.start
        const peer = yield* machine.connect(dialect)
        peer.send(Buffer.concat([last, question]))
        yield* machine.settle
        const toldAfter = (millis: number) =>
          Effect.andThen(isOpenAfter(machine, peer, millis), (isOpen) =>
            Effect.map(machine.store.progressOf(1), ({ told }) => ({ isOpen, told }))
          )
        expect(yield* toldAfter(Duration.toMillis(lingerTimeout) - 1)).toEqual({
          isOpen: true,
          told: false
        })
        expect(yield* toldAfter(1)).toEqual({ isOpen: false, told: true })
      })
  )

  it.effect("is 30 s in the native dialect, and then the winners do not count as sent", () =>
    Effect.gen(function* () {
      const machine = new ModelMachine([1], 7574)
      yield* machine.start
      const peer = yield* machine.connect("native")
      peer.send(Buffer.concat([M.helloOf(1), M.finishOf([]), M.AWAIT_WINNERS]))
      yield* machine.settle
      expect(yield* isOpenAfter(machine, peer, Duration.toMillis(farewellTimeout) - 1)).toBe(true)
      expect(yield* isOpenAfter(machine, peer, 1)).toBe(false)
      expect((yield* machine.store.progressOf(1)).told).toBe(false)
    })
  )

  it.effect("is 400 ms after a half-close, in which a dead peer resets the connection", () =>
    Effect.gen(function* () {
      for (const resets of [true, false]) {
        const machine = new ModelMachine([1, 2], 7574)
        yield* machine.start
        const peer = yield* machine.connect("json")
        peer.send(Buffer.concat([M.chunkOf(1, BETS, true), M.consultOf(1)]))
        peer.halfClose()
        yield* machine.settle
        const last = yield* machine.connect("binary")
        last.send(M.packetOf(2, BETS, false))
        yield* machine.settle
        expect(yield* isOpenAfter(machine, peer, 399)).toBe(true)
        if (resets) peer.drop()
        expect(yield* isOpenAfter(machine, peer, 1)).toBe(false)
        expect((yield* machine.store.progressOf(1)).told).toBe(!resets)
      }
    })
  )
})
