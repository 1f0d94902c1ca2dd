/**
 * A TCP proxy that simulates a bad network: it delays, splits, merges and loses data, breaks
 * connections, and replays what a client sent. The seed determines the fault of the n-th chunk in
 * each direction of a connection, but neither the chunk borders nor the order of connections.
 */
import * as Net from "node:net"
import { Effect, FiberSet, Latch, Random } from "effect"
import { makeProxy, type TcpProxy } from "./TcpProxy.ts"

/** The faults that can affect a chunk or an idle direction. */
export const FAULTS = [
  /** Delays a chunk. */
  "delay",
  /** Forwards a chunk byte by byte. */
  "split",
  /** Delays a chunk and merges it with those that follow. */
  "merge",
  /** Loses all further bytes of the direction and soon resets the connection. */
  "drop",
  /** Forwards part of the chunk and ends the direction. */
  "halfClose",
  /** Forwards part of the chunk and resets both sides. */
  "reset",
  /** Stops reading in the direction for a while. */
  "stall",
  /** Sends everything from the client again on another connection and ignores the answers. */
  "repeat"
] as const
export type Fault = (typeof FAULTS)[number]
type LastingFault = Exclude<Fault, "split" | "halfClose" | "reset">

/** The probability of each fault per chunk; their sum is at most 1. */
export type Probabilities = Readonly<Record<Fault, number>>

export type FaultCounts = Readonly<Record<Fault, number>>

export interface FaultProxyOptions {
  /** The server's port. */
  readonly target: number
  readonly seed: string
  readonly probabilities: Probabilities
}

export interface FaultProxy extends TcpProxy {
  readonly counts: () => FaultCounts
  /** Ends all faults: releases delayed data, resets dropped connections and ends replays. */
  readonly calm: Effect.Effect<void>
}

/** The minimum and maximum duration of each fault in milliseconds. */
const MILLIS: Readonly<Record<LastingFault, readonly [number, number]>> = {
  delay: [1, 20],
  merge: [5, 25],
  drop: [20, 200],
  stall: [20, 400],
  repeat: [20, 300]
}

/** After this much silence a fault may occur without a chunk. */
const IDLE_MILLIS = 100
/** Only this part of a chunk is split: splitting a large one would take seconds. */
const MAX_SPLIT_BYTES = 2048
/** Stands for the missing chunk in an idle direction. */
const NOTHING = Buffer.alloc(0)

interface Dice {
  /** From 0 up to but not including 1. */
  readonly fraction: () => number
  readonly between: (min: number, max: number) => number
}

const makeDice = (seed: string): Effect.Effect<Dice> =>
  Random.Random.pipe(
    Random.withSeed(seed),
    Effect.map((random) => {
      const fraction = () => random.nextDoubleUnsafe()
      const between = (min: number, max: number) => min + Math.floor(fraction() * (max - min + 1))
      return { fraction, between }
    })
  )

const faultOf = (probabilities: Probabilities, dice: Dice): Fault | undefined => {
  let left = dice.fraction()
  return FAULTS.find((fault) => {
    left -= probabilities[fault]
    return left < 0
  })
}

/** The chunks received from a socket and not taken yet. */
class Inbox {
  private chunks: Array<Buffer> = []
  private ended = false
  private wake = () => {}

  constructor(socket: Net.Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.wake()
    })
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        this.ended = true
        this.wake()
      })
    }
  }

  /** Waits for data or the end of the socket. */
  readonly ready = Effect.callback<void>((resume) => {
    this.wake = () => {
      if (this.chunks.length > 0 || this.ended) resume(Effect.void)
    }
    this.wake()
  })

  take(): Buffer | undefined {
    return this.chunks.shift()
  }

  takeAll(): ReadonlyArray<Buffer> {
    return this.chunks.splice(0)
  }

  isOver(): boolean {
    return this.ended && this.chunks.length === 0
  }
}

/** Completes even if the socket is already closed. */
const write = (socket: Net.Socket, bytes: Uint8Array) =>
  Effect.callback<void>((resume) => {
    if (bytes.length === 0) resume(Effect.void)
    else socket.write(bytes, () => resume(Effect.void))
  })

/** Lets the other end in this process read what was written before. */
const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const writeSplit = Effect.fnUntraced(function* (socket: Net.Socket, bytes: Buffer) {
  for (const byte of bytes.subarray(0, MAX_SPLIT_BYTES)) {
    yield* write(socket, Uint8Array.of(byte))
    yield* turn
  }
  yield* write(socket, bytes.subarray(MAX_SPLIT_BYTES))
})

const someOf = (chunk: Buffer, dice: Dice): Buffer =>
  chunk.subarray(0, dice.between(0, chunk.length))

interface Direction {
  readonly from: Net.Socket
  readonly inbox: Inbox
  readonly to: Net.Socket
  /** Part of the seed of its dice. */
  readonly name: string
  /** Resets both sides. */
  readonly reset: () => void
  /** Everything sent in this direction, if it can be replayed. */
  readonly said?: Array<Buffer>
}

/** Listens on a free port until the scope closes, which also breaks the open connections. */
export const makeFaultProxy = Effect.fnUntraced(function* (options: FaultProxyOptions) {
  const { probabilities, seed, target } = options
  const counts = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>
  const calmed = yield* Latch.make()
  const run = yield* FiberSet.makeRuntime()
  let isCalm = false

  /** Waits for the duration of a fault, or until `calm` ends it. */
  const pause = (fault: LastingFault, dice: Dice) =>
    Effect.raceFirst(Effect.sleep(dice.between(...MILLIS[fault])), calmed.await)

  /** Sends `bytes` again on a connection of the proxy's own. */
  const replay = (bytes: Buffer, lasting: Effect.Effect<unknown>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => Net.connect({ host: "127.0.0.1", port: target, noDelay: true })),
      (socket) =>
        Effect.suspend(() => {
          socket.on("error", () => socket.destroy()).resume()
          socket.write(bytes)
          return lasting
        }),
      (socket) => Effect.sync(() => socket.destroy())
    )

  /** Discards everything that arrives until the direction ends. */
  const swallow = Effect.fnUntraced(function* ({ inbox, reset, to }: Direction) {
    while (!inbox.isOver()) {
      yield* inbox.ready
      inbox.takeAll()
      // A peer that has closed both directions answers further data with a reset.
      if (to.closed) reset()
    }
  })

  /** Applies a fault to a chunk; returns whether the direction continues. */
  const inject = Effect.fnUntraced(function* (
    fault: Fault,
    chunk: Buffer,
    direction: Direction,
    dice: Dice
  ) {
    const { from, inbox, reset, said, to } = direction
    switch (fault) {
      case "delay":
      case "split":
      case "merge": {
        if (chunk === NOTHING) return true
        if (fault === "split") {
          counts.split++
          yield* writeSplit(to, chunk)
          return true
        }
        yield* pause(fault, dice)
        const more = fault === "merge" ? inbox.takeAll() : []
        said?.push(...more)
        // If nothing else arrived, the chunk was only delayed.
        counts[more.length > 0 ? "merge" : "delay"]++
        yield* write(to, Buffer.concat([chunk, ...more]))
        return true
      }
      case "drop":
        counts.drop++
        yield* pause("drop", dice)
        reset()
        return false
      case "halfClose":
        counts.halfClose++
        yield* write(to, someOf(chunk, dice))
        to.end()
        yield* swallow(direction)
        return false
      case "reset":
        counts.reset++
        yield* write(to, someOf(chunk, dice))
        reset()
        return false
      case "stall":
        counts.stall++
        from.pause()
        yield* pause("stall", dice)
        from.resume()
        yield* write(to, chunk)
        return true
      case "repeat":
        if (said !== undefined && said.length > 0) {
          counts.repeat++
          run(replay(Buffer.concat(said), pause("repeat", dice)))
        }
        yield* write(to, chunk)
        return true
    }
  })

  const carry = Effect.fnUntraced(function* (direction: Direction) {
    const { inbox, name, said, to } = direction
    const chunkDice = yield* makeDice(`${seed}/${name}`)
    // Separate dice, because a seed does not reproduce the number of idle periods.
    const idleDice = yield* makeDice(`${seed}/${name}/idle`)
    for (;;) {
      yield* isCalm ? inbox.ready : Effect.timeoutOption(inbox.ready, IDLE_MILLIS)
      if (inbox.isOver()) break
      const chunk = inbox.take() ?? NOTHING
      if (chunk !== NOTHING) said?.push(chunk)
      const dice = chunk === NOTHING ? idleDice : chunkDice
      const fault = isCalm ? undefined : faultOf(probabilities, dice)
      if (fault === undefined) yield* write(to, chunk)
      else if (!(yield* inject(fault, chunk, direction, dice))) return
    }
    to.end()
  })

  const join = (client: Net.Socket, target: Net.Socket, connection: number): void => {
    const reset = () => {
      client.resetAndDestroy()
      target.resetAndDestroy()
    }
    const direction = (from: Net.Socket, to: Net.Socket, name: string): Direction => {
      from.on("error", reset)
      return { from, inbox: new Inbox(from), to, name: `${connection}/${name}`, reset }
    }
    run(carry({ ...direction(client, target, "up"), said: [] }))
    run(carry(direction(target, client, "down")))
  }

  const proxy = yield* makeProxy({ targets: () => [target], random: () => 0, join })
  const calm = Effect.suspend(() => {
    isCalm = true
    return calmed.open
  })
  return { ...proxy, counts: () => ({ ...counts }), calm } satisfies FaultProxy
})
