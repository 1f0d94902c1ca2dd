/** Connections, or handshakes, counted by the address from which they come. */

/** One of them. */
export interface FromAddress {
  readonly address: string
}

/** The guests of each address, in the order in which they came. */
export class Crowd<Guest extends FromAddress> {
  readonly addresses = new Map<string, Set<Guest>>()
  size = 0

  /** The guests of an address. */
  of(address: string): Iterable<Guest> {
    return this.addresses.get(address) ?? []
  }

  countOf(address: string): number {
    return this.addresses.get(address)?.size ?? 0
  }

  add(guest: Guest): void {
    const own = this.addresses.get(guest.address)
    if (own === undefined) this.addresses.set(guest.address, new Set([guest]))
    else own.add(guest)
    this.size++
  }

  /** Says whether it was there. The address of one that was taken out comes last. */
  delete(guest: Guest): boolean {
    const own = this.addresses.get(guest.address)
    if (own === undefined || !own.delete(guest)) return false
    this.addresses.delete(guest.address)
    if (own.size > 0) this.addresses.set(guest.address, own)
    this.size--
    return true
  }

  /** The guests of the address with most of them, if these are more than `atLeast`. */
  mostOver(atLeast: number): ReadonlyArray<Guest> {
    let most: ReadonlySet<Guest> | undefined
    for (const own of this.addresses.values()) {
      if (own.size > (most?.size ?? atLeast)) most = own
    }
    return most === undefined ? [] : [...most]
  }

  /** The first guest of the address that has the fewest in `others`; of those, the first. */
  firstOfFewest(others: Crowd<Guest>): Guest | undefined {
    let first: Guest | undefined
    let fewest = Number.POSITIVE_INFINITY
    for (const [address, [guest]] of this.addresses) {
      if (others.countOf(address) >= fewest) continue
      fewest = others.countOf(address)
      first = guest
    }
    return first
  }
}
