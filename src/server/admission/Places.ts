/**
 * The places for connections: how many the server takes, and how many an address whose peers are
 * not known yet. A peer is known once its first message was accepted.
 */
import { Context, Data, Deferred, Effect, Layer, type Scope } from "effect"
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
export interface Newcomer {
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

/** Who is here from an address. */
interface Address {
  readonly unknown: Set<Guest>
  /** Those of them that count, and are served. */
  readonly served: Set<Guest>
  readonly waiting: Set<Guest>
  guests: number
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
  const addresses = new Map<string, Address>()
  let taken = 0

  const makeAddress = (): Address => ({
    unknown: new Set(),
    served: new Set(),
    waiting: new Set(),
    guests: 0
  })

  const addressOf = (name: string): Address => {
    const known = addresses.get(name)
    if (known !== undefined) return known
    const address = makeAddress()
    addresses.set(name, address)
    return address
  }

  const serveNext = (address: Address): void => {
    for (const guest of address.waiting) {
      if (address.served.size >= maxUnidentified) return
      address.waiting.delete(guest)
      address.served.add(guest)
      Deferred.doneUnsafe(guest.turn, Effect.void)
    }
  }

  const forget = (address: Address, guest: Guest): void => {
    address.unknown.delete(guest)
    address.waiting.delete(guest)
    address.served.delete(guest)
    serveNext(address)
  }

  /** The last that came of the address with most unknown peers, if these are more than `own`. */
  const lastOfMost = (own: number): Guest | undefined => {
    let most: Address | undefined
    for (const address of addresses.values()) {
      if (address.unknown.size > (most?.unknown.size ?? own + 1)) most = address
    }
    return most === undefined ? undefined : [...most.unknown].at(-1)
  }

  const leave = (guest: Guest): void => {
    const address = addresses.get(guest.address)
    if (address === undefined || !present.delete(guest)) return
    taken--
    address.guests--
    forget(address, guest)
    if (address.guests === 0) addresses.delete(guest.address)
  }

  const present = new Set<Guest>()

  const enter = (guest: Guest): Address | undefined => {
    if (taken >= maxConnections) {
      const last = lastOfMost(addresses.get(guest.address)?.unknown.size ?? 0)
      if (last === undefined) return undefined
      leave(last)
      last.giveWay()
      Deferred.doneUnsafe(last.turn, Effect.void)
    }
    taken++
    const address = addressOf(guest.address)
    address.guests++
    present.add(guest)
    address.unknown.add(guest)
    if (guest.counts) address.waiting.add(guest)
    else Deferred.doneUnsafe(guest.turn, Effect.void)
    serveNext(address)
    return address
  }

  const take = Effect.fnUntraced(function* (
    newcomer: Newcomer
  ): Effect.fn.Return<Place, NoPlace, Scope.Scope> {
    const guest: Guest = { ...newcomer, turn: Deferred.makeUnsafe<void>() }
    yield* Effect.addFinalizer(() => Effect.sync(() => leave(guest)))
    const address = enter(guest)
    if (address === undefined) return yield* new NoPlace({ connections: taken })
    return {
      turn: Deferred.await(guest.turn),
      known: () => forget(address, guest)
    }
  })

  return { take, taken: () => taken }
}
