/**
 * Goal: all messages together never exceed the memory budget, no connection waits forever, and all
 * memory is released. Method: connections read messages in pieces, answer late, become identified
 * or disconnect in random order; then all finish. A failure prints a seed; LOTTERY_TEST_SEED
 * repeats it.
 */
import { Deferred, Effect, Fiber } from "effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { MAX_ROW_BYTES } from "../../../src/domain/BetRow.ts"
import * as ByteReader from "../../../src/protocol/ByteReader.ts"
import {
  COMPARISONS_BYTES,
  Memory,
  MessageMemory,
  RESERVED_BYTES
} from "../../../src/server/admission/MessageMemory.ts"
import { MAX_COMPARISONS, PAGE_ROWS } from "../../../src/server/lottery/Comparison.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 10_000 : 300
const seed = process.env.LOTTERY_TEST_SEED
const parameters = { numRuns: RUNS, ...(seed === undefined ? {} : { seed: Number(seed) }) }

const KIB = 1024
/** Room for a few messages. Unidentified peers have 20 KiB of it. */
const ALL = 80 * KIB
const SMALL = KIB
/** Maximum bytes per read. */
const CHUNK = 16 * KIB

/** Bytes of the permits in use. */
const taken = ({ accepted, unaccepted }: Memory["Service"]) =>
  Effect.gen(function* () {
    return {
      accepted: accepted.capacity - (yield* accepted.available),
      unaccepted: unaccepted.capacity - (yield* unaccepted.available)
    }
  })

/** Makes the memory of connections. Those from one address have a common share. */
const makeConnecting = (memory: Memory["Service"]) => {
  const shares = new Map(["a", "b"].map((name) => [name, memory.makeShare()]))
  return (address: string) => new MessageMemory(memory, address, shares.get(address)!)
}

/** A connection that receives messages of these lengths one after another. */
class Connection {
  readonly held: MessageMemory
  private readonly reader: ByteReader.ByteReader<never>
  private messages: ReadonlyArray<number>
  private unsent: number
  private inbox: ReadonlyArray<Uint8Array> = []
  private came = Deferred.makeUnsafe<void>()
  private readonly whole: Array<number> = []
  private reading: Fiber.Fiber<unknown, unknown> | undefined
  private isClosed = false

  constructor(held: MessageMemory, messages: ReadonlyArray<number>) {
    this.messages = messages
    this.unsent = messages.reduce((sum, length) => sum + length, 0)
    this.held = held
    const pull: Effect.Effect<ReadonlyArray<Uint8Array>> = Effect.suspend(() => {
      const chunks = this.inbox
      if (chunks.length === 0) return Effect.andThen(Deferred.await(this.came), pull)
      this.inbox = []
      return Effect.succeed(chunks)
    })
    this.reader = ByteReader.make(pull, this.held.room)
  }

  get isDone(): boolean {
    return this.isClosed || (this.messages.length === 0 && this.whole.length === 0)
  }

  send(bytes: number) {
    if (this.isClosed || this.inbox.length > 0) return
    const sent = Math.min(bytes, this.unsent)
    this.unsent -= sent
    this.inbox = sent === 0 ? [] : [new Uint8Array(sent)]
    const came = this.came
    this.came = Deferred.makeUnsafe()
    Deferred.doneUnsafe(came, Effect.void)
  }

  read() {
    const [length] = this.messages
    if (this.isClosed || length === undefined) return
    this.reading ??= Effect.runFork(this.reader.take(length))
    if (this.reading.pollUnsafe() === undefined) return
    this.reading = undefined
    this.messages = this.messages.slice(1)
    this.whole.push(this.reader.position())
  }

  /** Answers the first complete message, which identifies the peer. */
  *answer() {
    const end = this.isClosed ? undefined : this.whole.shift()
    if (end === undefined) return
    this.held.accept()
    yield* this.held.answered(end)
  }

  *close() {
    if (this.isClosed) return
    this.isClosed = true
    if (this.reading !== undefined) yield* Fiber.interrupt(this.reading)
    yield* this.held.giveUp
  }
}

const lengths = fc.array(fc.integer({ min: 1, max: 30 * KIB }), { maxLength: 4 })
const peers = fc.array(fc.tuple(lengths, fc.constantFrom("a", "b")), {
  minLength: 1,
  maxLength: 12
})
const action = fc.record({
  name: fc.constantFrom("send", "send", "send", "read", "read", "read", "answer", "close"),
  which: fc.nat(),
  bytes: fc.integer({ min: 1, max: CHUNK })
})

describe("the memory of messages", () => {
  it("is limited, reaches every connection that waits, and is released", () =>
    fc.assert(
      fc.asyncProperty(
        peers,
        fc.boolean(),
        fc.array(action, { maxLength: 200 }),
        (given, finish, actions) =>
          Effect.gen(function* () {
            const memory = Memory.make(RESERVED_BYTES + ALL)
            const connect = makeConnecting(memory)
            const connections = given.map(
              ([messages, address]) => new Connection(connect(address), messages)
            )
            for (const { bytes, name, which } of actions) {
              const connection = connections[which % connections.length]!
              if (name === "send") connection.send(bytes)
              else if (name === "read") connection.read()
              else yield* connection[name]()
              yield* Effect.yieldNow
            }
            // If all connections keep reading, none may stay waiting.
            const isOver = () => !finish || connections.every((one) => one.isDone)
            for (let turns = 0; turns < 300 && !isOver(); turns++) {
              for (const connection of connections) {
                connection.send(CHUNK)
                connection.read()
                yield* Effect.yieldNow
                connection.read()
                yield* connection.answer()
                yield* Effect.yieldNow
              }
            }
            expect(isOver()).toBe(true)
            for (const connection of connections) yield* connection.close()
            expect(yield* taken(memory)).toEqual({ accepted: 0, unaccepted: 0 })
          }).pipe(Effect.runPromise)
      ),
      parameters
    ))

  it("is claimed once per message, until the message is answered", () =>
    Effect.gen(function* () {
      const memory = Memory.make(RESERVED_BYTES + ALL)
      const held = makeConnecting(memory)("a")
      const unaccepted = Effect.map(taken(memory), (bytes) => bytes.unaccepted)
      yield* held.room(SMALL)
      expect(yield* unaccepted).toBe(0)
      yield* held.room(2 * KIB)
      yield* held.room(2 * KIB)
      expect(yield* unaccepted).toBe(2 * KIB)
      yield* held.room(5 * KIB)
      expect(yield* unaccepted).toBe(5 * KIB)
      yield* held.answered(2 * KIB - 1)
      expect(yield* unaccepted).toBe(5 * KIB)
      yield* held.answered(2 * KIB)
      expect(yield* unaccepted).toBe(3 * KIB)
      expect([held.isAnsweredTo(2 * KIB), held.isAnsweredTo(3 * KIB)]).toEqual([true, false])
    }).pipe(Effect.runPromise))

  it("gives unidentified peers a quarter, and one address half of that", () =>
    Effect.gen(function* () {
      const memory = Memory.make(RESERVED_BYTES + ALL)
      const connect = makeConnecting(memory)
      const unidentified = ["a", "b"].map(connect)
      for (const [index, peer] of unidentified.entries()) {
        yield* peer.room(1000 * KIB)
        expect((yield* taken(memory)).unaccepted).toBe((index + 1) * 10 * KIB)
      }
      const identified = connect("a")
      identified.accept()
      yield* identified.room(60 * KIB)
      expect(yield* taken(memory)).toEqual({ accepted: 60 * KIB, unaccepted: 20 * KIB })
      for (const one of [...unidentified, identified]) yield* one.giveUp
      expect(yield* taken(memory)).toEqual({ accepted: 0, unaccepted: 0 })
    }).pipe(Effect.runPromise))

  it("is available to an address with room in its share while other addresses wait", () =>
    Effect.gen(function* () {
      const memory = Memory.make(RESERVED_BYTES + ALL)
      const connect = makeConnecting(memory)
      yield* connect("a").room(10 * KIB)
      const crowd = Array.from({ length: 5 }, () => Effect.runFork(connect("a").room(2 * KIB)))
      yield* connect("b").room(10 * KIB)
      expect(crowd.map((one) => one.pollUnsafe())).toEqual(Array(5).fill(undefined))
      for (const one of crowd) yield* Fiber.interrupt(one)
    }).pipe(Effect.runPromise))

  it("goes to addresses in turn, however many connections of one address wait", () =>
    Effect.gen(function* () {
      const memory = Memory.make(RESERVED_BYTES + ALL)
      const connect = makeConnecting(memory)
      const from = (address: string) => {
        const held = connect(address)
        held.accept()
        return { held, waiting: Effect.runFork(held.room(45 * KIB)) }
      }
      const first = from("a")
      const crowd = Array.from({ length: 5 }, () => from("a"))
      const other = from("b")
      yield* first.held.giveUp
      for (let turns = 0; other.waiting.pollUnsafe() === undefined; turns++) {
        expect(turns).toBeLessThan(2)
        const at = crowd.findIndex(({ waiting }) => waiting.pollUnsafe() !== undefined)
        yield* crowd.splice(at, 1)[0]!.held.giveUp
        yield* Effect.yieldNow
      }
    }).pipe(Effect.runPromise))

  it("excludes 152 MiB: ten times the largest JSON, handshakes and comparisons", () => {
    expect(RESERVED_BYTES).toBe((10 * 8 + 64 + 8) * KIB * KIB)
    const page = PAGE_ROWS * MAX_ROW_BYTES
    expect(2 * MAX_COMPARISONS * page).toBeLessThanOrEqual(COMPARISONS_BYTES)
  })

  it("allows one large JSON message at a time, and small ones meanwhile", () =>
    Effect.gen(function* () {
      const memory = Memory.make(RESERVED_BYTES + ALL)
      const parse = (length: number) =>
        Effect.runFork(
          new MessageMemory(memory, "a", memory.makeShare()).parsing(
            length,
            Effect.forever(Effect.yieldNow)
          )
        )
      const waits = (length: number) =>
        Effect.gen(function* () {
          let isParsed = false
          const parsed = Effect.sync(() => {
            isParsed = true
          })
          const parsing = yield* Effect.forkChild(
            new MessageMemory(memory, "a", memory.makeShare()).parsing(length, parsed)
          )
          for (let turns = 0; turns < 10; turns++) yield* Effect.yieldNow
          yield* Fiber.interrupt(parsing)
          return !isParsed
        })
      const large = parse(256 * KIB + 1)
      yield* Effect.yieldNow
      expect(yield* waits(256 * KIB)).toBe(false)
      expect(yield* waits(256 * KIB + 1)).toBe(true)
      yield* Fiber.interrupt(large)
      expect(yield* waits(256 * KIB + 1)).toBe(false)
    }).pipe(Effect.runPromise))
})
