/**
 * Goal: what connections hold is counted to the byte, whoever waits for room is granted it in the
 * end, and everything comes back. Method: connections that are read ahead as Node does it, read
 * their messages, answer them late, become known or go away, in a random order; what is counted is
 * compared with what each knows by itself. A failure prints a seed, which LOTTERY_TEST_SEED
 * repeats.
 */
import { Effect, Fiber } from "effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ByteBound } from "../../../src/server/admission/ByteBound.ts"
import {
  HeldBytes,
  type MemoryBounds,
  makeMemoryBounds,
  SET_APART_BYTES
} from "../../../src/server/admission/HeldBytes.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 10_000 : 300
const seed = process.env.LOTTERY_TEST_SEED
const parameters = { numRuns: RUNS, ...(seed === undefined ? {} : { seed: Number(seed) }) }

const KIB = 1024
/** Room for a few messages, of which an address has a part. */
const ALL = 60 * KIB
const SHARE = 50 * KIB
/** What of a connection is read ahead at most. */
const AHEAD = 16 * KIB

const makeMemory = (): MemoryBounds => ({
  ...makeMemoryBounds(SET_APART_BYTES + ALL),
  makeShare: () => new ByteBound(SHARE)
})

/** A connection on which messages of these lengths come, one after the other. */
class Connection {
  readonly held: HeldBytes
  readonly share: ByteBound
  isKnown = false
  private isClosed = false
  private messages: ReadonlyArray<number>
  /** What the peer has yet to send. */
  private unsent: number
  private isStopped = false
  private ahead = 0
  private arrived = 0
  private answered = 0
  /** Where the message begins that is being read. */
  private begin = 0
  /** The ends of messages that have come whole, and are not answered. */
  private readonly whole: Array<number> = []
  private reading: Fiber.Fiber<void> | undefined

  constructor(memory: MemoryBounds, share: ByteBound, messages: ReadonlyArray<number>) {
    this.share = share
    this.messages = messages
    this.unsent = messages.reduce((sum, length) => sum + length, 0)
    this.held = new HeldBytes(memory, share, {
      bytes: () => this.ahead,
      start: () => {
        this.isStopped = false
      },
      stop: () => {
        this.isStopped = true
      }
    })
    // What does not read yet cannot be stopped.
    this.isStopped = false
  }

  /** What of it is there. */
  get bytes(): number {
    return this.isClosed ? 0 : this.ahead + this.arrived - this.answered
  }

  /** What is missing of the message that has begun: the most that it was granted. */
  get missing(): number {
    const [length] = this.messages
    if (this.isClosed || length === undefined || this.arrived === this.begin) return 0
    return this.begin + length - this.arrived
  }

  get isDone(): boolean {
    return this.isClosed || (this.messages.length === 0 && this.whole.length === 0)
  }

  /** Some of what the peer sends is read ahead. */
  send(bytes: number) {
    if (this.isClosed || this.isStopped) return
    const read = Math.min(bytes, this.unsent, AHEAD - this.ahead)
    this.unsent -= read
    this.ahead += read
    this.held.countAhead()
  }

  /** Asks for what it needs as a reader does, and takes what was read ahead once it may. */
  read() {
    if (this.isClosed || this.messages.length === 0) return
    const { passage, room } = this.held
    const begun = this.arrived - this.begin
    this.reading ??= Effect.runFork(Effect.andThen(room(this.missing, begun), passage))
    if (this.reading.pollUnsafe() === undefined || this.ahead === 0) return
    this.reading = undefined
    const bytes = this.ahead
    this.ahead = 0
    // Whoever takes it has Node read on.
    this.isStopped = false
    this.arrived += bytes
    this.held.arrived(bytes)
    while (this.messages.length > 0 && this.arrived >= this.begin + this.messages[0]!) {
      this.begin += this.messages[0]!
      this.messages = this.messages.slice(1)
      this.whole.push(this.begin)
    }
  }

  /** The first message that is whole is answered, before the next one is read its peer known. */
  answer() {
    const end = this.isClosed ? undefined : this.whole.shift()
    if (end === undefined) return
    if (this.reading === undefined) {
      this.isKnown = true
      this.held.known()
    }
    this.answered = end
    this.held.answered(end)
  }

  *close() {
    if (this.isClosed) return
    this.isClosed = true
    if (this.reading !== undefined) yield* Fiber.interrupt(this.reading)
    this.held.close()
  }
}

/** A bound has what is there, and beside that at most what is missing of what has begun. */
const check = (bound: ByteBound, connections: ReadonlyArray<Connection>) => {
  const bytes = connections.reduce((sum, one) => sum + one.bytes, 0)
  const missing = connections.reduce((sum, one) => sum + one.missing, 0)
  expect(bound.bytes).toBeGreaterThanOrEqual(bytes)
  expect(bound.bytes).toBeLessThanOrEqual(bytes + missing)
}

const lengths = fc.array(fc.integer({ min: 1, max: 30 * KIB }), { maxLength: 4 })
const peers = fc.array(fc.tuple(lengths, fc.integer({ min: 0, max: 1 })), {
  minLength: 1,
  maxLength: 12
})
const action = fc.record({
  name: fc.constantFrom("send", "send", "send", "read", "read", "read", "answer", "close"),
  which: fc.nat(),
  bytes: fc.integer({ min: 1, max: AHEAD })
})

describe("what connections hold", () => {
  it("is counted, granted in the end to whoever waits, and given back", () =>
    fc.assert(
      fc.asyncProperty(
        peers,
        fc.record({ atOnce: fc.boolean(), goOn: fc.boolean() }),
        fc.array(action, { maxLength: 200 }),
        (given, { atOnce, goOn }, actions) =>
          Effect.gen(function* () {
            const memory = makeMemory()
            const shares = [memory.makeShare(), memory.makeShare()]
            const connections: Array<Connection> = []
            const connect = () => {
              const next = given[connections.length]
              if (next === undefined) return
              const [messages, address] = next
              connections.push(new Connection(memory, shares[address]!, messages))
            }
            const checkAll = () => {
              check(memory.all, connections)
              for (const share of shares) {
                check(
                  share,
                  connections.filter((one) => one.share === share && !one.isKnown)
                )
              }
            }
            while (atOnce && connections.length < given.length / 2) {
              connect()
              connections.at(-1)!.send(AHEAD)
            }
            for (const { bytes, name, which } of actions) {
              if (which % given.length >= connections.length) connect()
              const connection = connections[which % connections.length]!
              if (name === "send") connection.send(bytes)
              else if (name === "close") yield* connection.close()
              else connection[name]()
              yield* Effect.yieldNow
              checkAll()
            }
            while (connections.length < given.length) connect()
            // Where everybody goes on nobody may be left waiting; or all go as they are.
            const isOver = () => !goOn || connections.every((one) => one.isDone)
            for (let turns = 0; turns < 300 && !isOver(); turns++) {
              for (const connection of connections) {
                connection.read()
                connection.send(AHEAD)
                connection.read()
                connection.answer()
                yield* Effect.yieldNow
                checkAll()
              }
            }
            expect(isOver()).toBe(true)
            for (const connection of connections) yield* connection.close()
            for (const bound of [memory.all, ...shares]) {
              expect(bound.bytes).toBe(0)
            }
          }).pipe(Effect.runPromise)
      ),
      parameters
    ))

  it("is given back where one bound granted it while the other was still waited for", () =>
    Effect.gen(function* () {
      const memory = makeMemory()
      const share = memory.makeShare()
      memory.all.claim(ALL, () => {})
      const held = new HeldBytes(memory, share)
      held.arrived(2 * KIB)
      const waiting = Effect.runFork(held.room(20 * KIB, 2 * KIB))
      expect(share.bytes).toBe(22 * KIB)
      expect(memory.all.bytes).toBe(ALL + 2 * KIB)
      yield* Fiber.interrupt(waiting)
      held.close()
      expect(share.bytes).toBe(0)
      expect(memory.all.bytes).toBe(ALL)
    }).pipe(Effect.runPromise))

  it("grows no more while there is no room, of newcomers too, and is forgotten with them", () => {
    const memory = makeMemory()
    const stopped: Array<string> = []
    const hold = (name: string) => {
      const ahead = { bytes: () => 0, start: () => {}, stop: () => stopped.push(name) }
      return new HeldBytes(memory, memory.makeShare(), ahead)
    }
    hold("closed").close()
    hold("open")
    memory.gate.close()
    hold("new")
    expect(stopped).toEqual(["open", "new"])
  })

  it("is read to the end of a message where there is no room, and no further", () =>
    Effect.gen(function* () {
      const memory = makeMemory()
      let stops = 0
      const stop = () => void stops++
      const ahead = { bytes: () => 0, start: () => {}, stop }
      const held = new HeldBytes(memory, memory.makeShare(), ahead)
      held.arrived(2 * KIB)
      yield* held.room(20 * KIB, 2 * KIB)
      memory.all.add(ALL)
      held.arrived(19 * KIB)
      expect(stops).toBe(0)
      held.arrived(KIB)
      expect(stops).toBe(1)
    }).pipe(Effect.runPromise))

  it("leaves its address's share as its peer is known, with what it was granted there", () =>
    Effect.gen(function* () {
      const memory = makeMemory()
      const share = new ByteBound(10 * KIB)
      const [one, other] = [new HeldBytes(memory, share), new HeldBytes(memory, share)]
      one.arrived(2 * KIB)
      yield* one.room(5 * KIB, 2 * KIB)
      expect(share.bytes).toBe(7 * KIB)
      one.known()
      expect([share.bytes, memory.all.bytes]).toEqual([0, 7 * KIB])
      // All that the share holds is stuck with the one who waits, to whom it is granted then.
      other.arrived(8 * KIB)
      yield* other.room(20 * KIB, 8 * KIB)
    }).pipe(Effect.runPromise))
})

describe("while there is no room", () => {
  /** Has begun to read a message of 5 KiB, for which it was granted room before that was gone. */
  const makeReading = Effect.gen(function* () {
    const memory = makeMemory()
    let stops = 0
    const ahead = { bytes: () => 0, start: () => {}, stop: () => void stops++ }
    const held = new HeldBytes(memory, memory.makeShare(), ahead)
    held.arrived(2 * KIB)
    yield* held.room(3 * KIB, 2 * KIB)
    memory.all.add(ALL)
    expect(memory.gate.isClosed).toBe(true)
    return { held, stops: () => stops }
  })

  it("who reads a message reads it to its end, and no further", () =>
    Effect.gen(function* () {
      const { held, stops } = yield* makeReading
      held.arrived(2 * KIB)
      expect([stops(), held.isHalted]).toEqual([0, false])
      held.arrived(1 * KIB)
      expect([stops(), held.isHalted]).toEqual([1, true])
    }).pipe(Effect.runPromise))

  it("of which little is missing is read to its end too, although nothing is granted for it", () =>
    Effect.gen(function* () {
      const memory = makeMemory()
      let stops = 0
      const ahead = { bytes: () => 0, start: () => {}, stop: () => void stops++ }
      const held = new HeldBytes(memory, memory.makeShare(), ahead)
      held.arrived(1)
      yield* held.room(1 * KIB, 1)
      expect(memory.all.bytes).toBe(1)
      memory.all.add(ALL)
      expect([stops, held.isHalted]).toEqual([0, false])
      held.arrived(1 * KIB)
      expect([stops, held.isHalted]).toEqual([1, true])
    }).pipe(Effect.runPromise))

  it("who gives a message up reads nothing more", () =>
    Effect.gen(function* () {
      const { held, stops } = yield* makeReading
      held.giveUp()
      expect([stops(), held.isHalted]).toEqual([1, true])
    }).pipe(Effect.runPromise))
})

describe("the room for all connections", () => {
  it("is what is left of 152 MiB: the largest JSON tenfold, handshakes, and comparisons", () => {
    expect(SET_APART_BYTES).toBe((10 * 8 + 64 + 8) * KIB * KIB)
  })

  it("is closed once it is full, and opens again with an eighth of it free", () => {
    const { all, gate } = makeMemoryBounds(SET_APART_BYTES + 800)
    all.add(799)
    expect(gate.isClosed).toBe(false)
    all.add(1)
    expect(gate.isClosed).toBe(true)
    all.release(99)
    expect(gate.isClosed).toBe(true)
    all.release(1)
    expect(gate.isClosed).toBe(false)
  })

  it("is enough for one large JSON message at a time, and others meanwhile", () =>
    Effect.gen(function* () {
      const memory = makeMemory()
      const parse = (length: number) =>
        Effect.runFork(
          new HeldBytes(memory, memory.makeShare()).parsing(length, Effect.forever(Effect.yieldNow))
        )
      const isLarge = (length: number) =>
        Effect.gen(function* () {
          let isParsed = false
          const held = new HeldBytes(memory, memory.makeShare())
          const parsed = Effect.sync(() => {
            isParsed = true
          })
          const parsing = yield* Effect.forkChild(held.parsing(length, parsed))
          for (let turns = 0; turns < 10; turns++) yield* Effect.yieldNow
          yield* Fiber.interrupt(parsing)
          return !isParsed
        })
      const large = parse(256 * KIB + 1)
      yield* Effect.yieldNow
      expect(yield* isLarge(256 * KIB)).toBe(false)
      expect(yield* isLarge(256 * KIB + 1)).toBe(true)
      yield* Fiber.interrupt(large)
      expect(yield* isLarge(256 * KIB + 1)).toBe(false)
    }).pipe(Effect.runPromise))
})
