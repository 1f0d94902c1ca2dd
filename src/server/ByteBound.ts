/**
 * A bound on bytes that many hold together. What is there already is counted; whoever wants more
 * claims it first, and waits in line until there is room.
 */

interface Waiter {
  readonly bytes: number
  readonly onGranted: () => void
}

export class ByteBound {
  private used = 0
  /** Claims that were granted and not met yet. */
  private unmet = 0
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
      // One is granted whatever is held: where those who wait hold it all, nobody else would ever
      // give anything back.
      if (this.unmet > 0 && this.used + waiter.bytes > this.limit) return
      this.waiters.delete(waiter)
      this.used += waiter.bytes
      this.unmet++
      this.onChange(this.used)
      waiter.onGranted()
    }
  }
}
