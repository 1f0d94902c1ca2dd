/**
 * A bad network on this machine: a TCP proxy in front of one port, which delays, cuts, joins and
 * loses what it passes on, breaks connections, and replays what a client has said. What happens to
 * the n-th chunk of a direction of a connection follows from the seed; how the bytes come in
 * chunks, and which connection comes first, is the machine's.
 */
import * as Net from "node:net"
import { Effect, FiberSet, Latch, Random } from "effect"
import { makeProxy, type TcpProxy } from "./TcpProxy.ts"

/** What can happen to a chunk, or to a direction in which nothing comes. */
export const FAULTS = [
  /** A chunk waits. */
  "delay",
  /** A chunk is passed on byte by byte. */
  "split",
  /** Chunks are held, and passed on as one. */
  "merge",
  /** From here on all bytes of the direction are lost; the connection is reset a little later. */
  "drop",
  /** The direction is ended, after some of the chunk. */
  "halfClose",
  /** Both sides are reset, after some of the chunk. */
  "reset",
  /** Nothing is read in the direction for a while. */
  "stall",
  /** All that the client has said is said once more, on another connection; nobody hears it. */
  "repeat"
] as const
export type Fault = (typeof FAULTS)[number]
type LastingFault = Exclude<Fault, "split" | "halfClose" | "reset">

/** How probable each fault is at each chunk; together at most 1. */
export type Probabilities = Readonly<Record<Fault, number>>

/** How often each fault was injected. */
export type FaultCounts = Readonly<Record<Fault, number>>

export interface FaultProxyOptions {
  /** The port behind this one. */
  readonly target: number
  readonly seed: string
  readonly probabilities: Probabilities
}

export interface FaultProxy extends TcpProxy {
  readonly counts: () => FaultCounts
  /**
   * Ends the faults: what is held up goes on, what was dropped is reset, replays end; whatever
   * comes from now on is passed on untouched.
   */
  readonly calm: Effect.Effect<void>
}

/** The least and the most milliseconds that a fault takes. */
const MILLIS: Readonly<Record<LastingFault, readonly [number, number]>> = {
  delay: [1, 20],
  merge: [5, 25],
  drop: [20, 200],
  stall: [20, 400],
  repeat: [20, 300]
}

/** Where nothing comes for so long, a fault may happen all the same. */
const IDLE_MILLIS = 100
/** So much of a chunk is split, and the rest passed on as one: a large one would take seconds. */
const MOST_SPLIT_BYTES = 2048
/** What is not a chunk, so that no chunk is touched where nothing comes. */
const NOTHING = Buffer.alloc(0)

interface Dice {
  /** From 0 to 1, that excluded. */
  readonly fraction: () => number
  readonly between: (least: number, most: number) => number
}

/** Dice that fall in the same way with the same seed. */
const makeDice = (seed: string): Effect.Effect<Dice> =>
  Random.Random.pipe(
    Random.withSeed(seed),
    Effect.map((random) => {
      const fraction = () => random.nextDoubleUnsafe()
      const between = (least: number, most: number) =>
        least + Math.floor(fraction() * (most - least + 1))
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

/** What has come from a socket and was not taken yet. */
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

  /** Waits until something has come, or nothing more will. */
  readonly ready = Effect.callback<void>((resume) => {
    this.wake = () => {
      if (this.chunks.length > 0 || this.ended) resume(Effect.void)
    }
    this.wake()
  })

  /** The next chunk, where one has come. */
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

/** Done also where the bytes can go nowhere any more. */
const write = (socket: Net.Socket, bytes: Uint8Array) =>
  Effect.callback<void>((resume) => {
    if (bytes.length === 0) resume(Effect.void)
    else socket.write(bytes, () => resume(Effect.void))
  })

/** Lets whoever is on the other side read what was written before. */
const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const writeSplit = Effect.fnUntraced(function* (socket: Net.Socket, bytes: Buffer) {
  for (const byte of bytes.subarray(0, MOST_SPLIT_BYTES)) {
    yield* write(socket, Uint8Array.of(byte))
    yield* turn
  }
  yield* write(socket, bytes.subarray(MOST_SPLIT_BYTES))
})

const someOf = (chunk: Buffer, dice: Dice): Buffer =>
  chunk.subarray(0, dice.between(0, chunk.length))

/** One direction of a connection. */
interface Direction {
  readonly from: Net.Socket
  readonly inbox: Inbox
  readonly to: Net.Socket
  /** Names the direction, for its dice. */
  readonly name: string
  /** Resets both sides. */
  readonly reset: () => void
  /** All that was said in this direction, where that can be replayed. */
  readonly said?: Array<Buffer>
}

/** Listens on a free port until the scope closes, and then breaks what is still connected. */
export const makeFaultProxy = Effect.fnUntraced(function* (options: FaultProxyOptions) {
  const { probabilities, seed, target } = options
  const counts = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>
  const calmed = yield* Latch.make()
  const run = yield* FiberSet.makeRuntime()
  let isCalm = false

  /** Waits as long as this fault takes, or until the network is calm. */
  const pause = (fault: LastingFault, dice: Dice) =>
    Effect.raceFirst(Effect.sleep(dice.between(...MILLIS[fault])), calmed.await)

  /** Says it all again on a connection of the proxy's own. */
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

  /** Swallows all that comes, until it cannot even be sent back any more. */
  const swallow = Effect.fnUntraced(function* ({ inbox, reset, to }: Direction) {
    while (!inbox.isOver()) {
      yield* inbox.ready
      inbox.takeAll()
      // Who has closed both directions answers what still comes with a reset.
      if (to.closed) reset()
    }
  })

  /** Passes a chunk on as the fault will have it; true where the direction goes on. */
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
        // Where nothing more has come the chunk has only waited.
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
    // Dice of their own: how often nothing comes is not repeated by a seed.
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
