/**
 * The places for connections: how many the server takes, and how many an address whose peers are
 * not known yet. A peer is known once its first message was accepted.
 */
import { Context, Data, Deferred, Effect, Layer, type Scope } from "effect"
import { Crowd } from "./Crowd.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** Groups of an IPv6 address that name the network; the others a peer may choose by itself. */
const NETWORK_GROUPS = 4

/**
 * Whose connections are counted together: those of an IPv4 address, and of IPv6 those of a network
 * of 64 bits, the least that a line is given.
 */
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

/** There is no place for a connection. */
export class NoPlace extends Data.TaggedError("NoPlace")<{ readonly connections: number }> {
  override get message(): string {
    return `there are ${this.connections} connections already, the most that are taken`
  }
}

/** Why a connection had to go. */
export const GAVE_WAY =
  "all places are taken, and most of those for unknown peers by this address: " +
  "it gave way to another one"

/** A connection that asks for a place. */
interface Newcomer {
  readonly address: string
  /** Whether it counts for its address until it is known; on the winners' port silence is usual. */
  readonly counts: boolean
  /** Called where it has to go. */
  readonly giveWay: () => void
}

export interface Place {
  /** Waits until it is the connection's turn, which comes late where its address has too many. */
  readonly turn: Effect.Effect<void>
  /** The peer's first message was accepted. */
  readonly known: () => void
}

interface Guest extends Newcomer {
  readonly turn: Deferred.Deferred<void>
}

export class Places extends Context.Service<
  Places,
  {
    /** Takes a place until the scope closes. */
    readonly take: (newcomer: Newcomer) => Effect.Effect<Place, NoPlace, Scope.Scope>
    /** Places that are taken. */
    readonly taken: () => number
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
  const present = new Set<Guest>()
  const unknown = new Crowd<Guest>()
  /** Those of the unknown that count, and are served. */
  const served = new Crowd<Guest>()
  const waiting = new Crowd<Guest>()

  const serveNext = (address: string): void => {
    for (const guest of waiting.of(address)) {
      if (served.countOf(address) >= maxUnidentified) return
      waiting.delete(guest)
      served.add(guest)
      Deferred.doneUnsafe(guest.turn, Effect.void)
    }
  }

  const forget = (guest: Guest): void => {
    for (const crowd of [unknown, waiting, served]) crowd.delete(guest)
    serveNext(guest.address)
  }

  const leave = (guest: Guest): void => {
    if (present.delete(guest)) forget(guest)
  }

  /**
   * Whether there is a place for a guest. If all are taken, the address with the most unknown peers
   * gives up the last that it took.
   */
  const hasPlaceFor = ({ address }: Guest): boolean => {
    if (present.size < maxConnections) return true
    const last = unknown.mostOver(unknown.countOf(address) + 1).at(-1)
    if (last === undefined) return false
    leave(last)
    last.giveWay()
    Deferred.doneUnsafe(last.turn, Effect.void)
    return true
  }

  const enter = (guest: Guest): void => {
    present.add(guest)
    unknown.add(guest)
    if (guest.counts) waiting.add(guest)
    else Deferred.doneUnsafe(guest.turn, Effect.void)
    serveNext(guest.address)
  }

  const take = Effect.fnUntraced(function* (
    newcomer: Newcomer
  ): Effect.fn.Return<Place, NoPlace, Scope.Scope> {
    const guest: Guest = { ...newcomer, turn: Deferred.makeUnsafe<void>() }
    yield* Effect.addFinalizer(() => Effect.sync(() => leave(guest)))
    if (!hasPlaceFor(guest)) return yield* new NoPlace({ connections: present.size })
    enter(guest)
    return {
      turn: Deferred.await(guest.turn),
      known: () => forget(guest)
    }
  })

  return { take, taken: () => present.size }
}
