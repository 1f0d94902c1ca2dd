/** Limits connections: in total, and per address until the peer is identified. */
import { Context, Data, Deferred, Effect, Layer, Scope } from "effect"
import { Crowd } from "./Crowd.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** Groups of an IPv6 address that name the network. A peer may choose the others itself. */
const NETWORK_GROUPS = 4

/** Returns the IPv4 address, or the IPv6 network of 64 bits, the smallest that providers assign. */
export const sourceOf = (address: string): string => {
  if (!address.includes(":")) return address
  const [head = "", tail] = address.split("::")
  const groups = head.split(":")
  if (tail !== undefined) {
    const missing = 8 - groups.length - tail.split(":").length
    groups.push(...Array<string>(Math.max(0, missing)).fill("0"), ...tail.split(":"))
  }
  return groups.slice(0, NETWORK_GROUPS).join(":")
}

export class NoPlace extends Data.TaggedError("NoPlace")<{ readonly connections: number }> {
  override get message(): string {
    return `the server already has ${this.connections} connections, its maximum`
  }
}

export const EVICTED =
  "disconnected to make room: the server is full, and this address has the most unidentified peers"

interface Newcomer {
  readonly address: string
  /** False on the winners port: silence is normal there and does not count for the address. */
  readonly counts: boolean
  /** Disconnects it to make room for another. */
  readonly evict: () => void
}

export interface Place {
  /** Waits for the connection's turn, delayed if its address has too many unidentified peers. */
  readonly turn: Effect.Effect<void>
  /** Marks the peer as identified: its first message was accepted. */
  readonly markIdentified: () => void
}

interface Entry extends Newcomer {
  readonly turn: Deferred.Deferred<void>
}

export class Places extends Context.Service<
  Places,
  {
    /** Takes a place until the scope closes. */
    readonly take: (newcomer: Newcomer) => Effect.Effect<Place, NoPlace, Scope.Scope>
    /** Open connections: in the queue of their address, without an accepted message, and others. */
    readonly counts: () => { queued: number; unidentified: number; identified: number }
  }
>()("lottery/server/Places") {
  static readonly layer = Layer.effect(
    Places,
    Effect.map(ServerLimits, (limits) => makePlaces(limits))
  )
}

export const makePlaces = ({
  maxConnections,
  maxUnidentified
}: Pick<ServerLimits, "maxConnections" | "maxUnidentified">): Places["Service"] => {
  const present = new Set<Entry>()
  const unidentified = new Crowd<Entry>()
  /** Unidentified peers that count for their address and have had their turn. */
  const served = new Crowd<Entry>()
  const waiting = new Crowd<Entry>()

  const serveNext = (address: string): void => {
    for (const entry of waiting.of(address)) {
      if (served.countOf(address) >= maxUnidentified) return
      waiting.delete(entry)
      served.add(entry)
      Deferred.doneUnsafe(entry.turn, Effect.void)
    }
  }

  const forget = (entry: Entry): void => {
    for (const crowd of [unidentified, waiting, served]) crowd.delete(entry)
    serveNext(entry.address)
  }

  const leave = (entry: Entry): void => {
    if (present.delete(entry)) forget(entry)
  }

  /**
   * Returns whether there is a place. If all are taken, evicts the newest unidentified peer of the
   * address with the most such peers, if it has at least two more than the newcomer's address.
   */
  const makeRoomFor = ({ address }: Entry): boolean => {
    if (present.size < maxConnections) return true
    const last = unidentified.largestOver(unidentified.countOf(address) + 1).at(-1)
    if (last === undefined) return false
    leave(last)
    last.evict()
    Deferred.doneUnsafe(last.turn, Effect.void)
    return true
  }

  const enter = (entry: Entry): void => {
    present.add(entry)
    unidentified.add(entry)
    if (entry.counts) waiting.add(entry)
    else Deferred.doneUnsafe(entry.turn, Effect.void)
    serveNext(entry.address)
  }

  const take = Effect.fnUntraced(function* (
    newcomer: Newcomer
  ): Effect.fn.Return<Place, NoPlace, Scope.Scope> {
    const entry: Entry = { ...newcomer, turn: Deferred.makeUnsafe<void>() }
    yield* Scope.addFinalizerExit(yield* Effect.scope, () => Effect.sync(() => leave(entry)))
    if (!makeRoomFor(entry)) return yield* new NoPlace({ connections: present.size })
    enter(entry)
    return {
      turn: Deferred.await(entry.turn),
      markIdentified: () => forget(entry)
    }
  })

  const counts = () => {
    const queued = waiting.size
    const unknown = unidentified.size
    return { queued, unidentified: unknown - queued, identified: present.size - unknown }
  }

  return { take, counts }
}
