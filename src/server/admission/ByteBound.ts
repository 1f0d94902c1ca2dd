/**
 * A bound on bytes that many hold together. What is there already is counted; whoever wants more
 * claims it first, and waits in line until there is room. Where all that is held is stuck with
 * those who wait, nobody would ever give anything back: then one of them is granted more all the
 * same.
 */

interface Waiter {
  readonly bytes: number
  readonly onGranted: () => void
}

export class ByteBound {
  private used = 0
  /** Claims that were granted and not met yet. */
  private unmet = 0
  /** Bytes of those that are held which are given back only once more was granted. */
  private stuck = 0
  private readonly waiters = new Set<Waiter>()
  private readonly limit: number
  private readonly onChange: (used: number) => void

  /** `onChange` is called with the bytes that are held or granted, whenever they change. */
  constructor(limit: number, onChange: (used: number) => void = () => {}) {
    this.limit = limit
    this.onChange = onChange
  }

  /** How many bytes are held or granted. */
  get bytes(): number {
    return this.used
  }

  /** Counts bytes that came unasked. */
  add(bytes: number): void {
    this.used += bytes
    this.onChange(this.used)
  }

  /** Gives bytes back. */
  release(bytes: number): void {
    this.used -= bytes
    this.grant()
    this.onChange(this.used)
  }

  /** So many more of the bytes that are held are stuck with somebody who waits; or fewer. */
  stick(bytes: number): void {
    this.stuck += bytes
    this.grant()
  }

  /** Claims bytes, which are counted once they are granted; the result takes the claim back. */
  claim(bytes: number, onGranted: () => void): () => void {
    const waiter = { bytes, onGranted }
    this.waiters.add(waiter)
    this.grant()
    return () => {
      if (this.waiters.delete(waiter)) this.grant()
    }
  }

  /** A claim that was granted has been met, or is given up. */
  met(): void {
    this.unmet--
    this.grant()
  }

  private grant(): void {
    for (const waiter of this.waiters) {
      const hasRoom = this.used + waiter.bytes <= this.limit
      const isLocked = this.unmet === 0 && this.used <= this.stuck
      if (!hasRoom && !isLocked) return
      this.waiters.delete(waiter)
      this.used += waiter.bytes
      this.unmet++
      this.onChange(this.used)
      waiter.onGranted()
    }
  }
}
