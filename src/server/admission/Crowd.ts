/** Connections or handshakes, grouped by source address. */

export interface FromAddress {
  readonly address: string
}

/** The members of each address, in order of arrival. */
export class Crowd<Member extends FromAddress> {
  readonly addresses = new Map<string, Set<Member>>()
  size = 0

  of(address: string): Iterable<Member> {
    return this.addresses.get(address) ?? []
  }

  countOf(address: string): number {
    return this.addresses.get(address)?.size ?? 0
  }

  add(member: Member): void {
    const own = this.addresses.get(member.address)
    if (own === undefined) this.addresses.set(member.address, new Set([member]))
    else own.add(member)
    this.size++
  }

  /** Returns whether the member was present. If so, its address moves behind all others. */
  delete(member: Member): boolean {
    const own = this.addresses.get(member.address)
    if (own === undefined || !own.delete(member)) return false
    this.addresses.delete(member.address)
    if (own.size > 0) this.addresses.set(member.address, own)
    this.size--
    return true
  }

  /** Returns the largest group of one address, if it has more than `count` members. */
  largestOver(count: number): ReadonlyArray<Member> {
    let largest: ReadonlySet<Member> | undefined
    for (const own of this.addresses.values()) {
      if (own.size > (largest?.size ?? count)) largest = own
    }
    return largest === undefined ? [] : [...largest]
  }

  /** Returns the first member of the first address that has the fewest members in `others`. */
  firstOfFewest(others: Crowd<Member>): Member | undefined {
    let first: Member | undefined
    let fewest = Number.POSITIVE_INFINITY
    for (const [address, [member]] of this.addresses) {
      if (others.countOf(address) >= fewest) continue
      fewest = others.countOf(address)
      first = member
    }
    return first
  }
}
