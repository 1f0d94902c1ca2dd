/**
 * The newest data of each kind of event that a live board gets. A board that has seen a version of
 * a topic gets what changed since, encoded once for all boards.
 */
import type { Agency } from "../../../domain/Agency.ts"
import { type AgencyStanding, type DrawStanding, MAX_LISTED_AGENCIES } from "../DrawStanding.ts"
import type { StandingEvent } from "../LiveEvents.ts"

export interface Topic {
  /** Counts the changes; 0 before there is any data. */
  readonly version: () => number
  /** An event with what changed after the version `seen`, in the format of server-sent events. */
  readonly since: (seen: number) => Uint8Array
}

const toEvent = (name: string, data: unknown): Uint8Array =>
  Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)

/** A topic whose data is always sent as a whole. */
export class WholeTopic<A> implements Topic {
  private readonly name: string
  private changes = 0
  private event: Uint8Array = new Uint8Array()

  constructor(name: string) {
    this.name = name
  }

  set(value: A): void {
    this.event = toEvent(this.name, value)
    this.changes++
  }

  readonly version = (): number => this.changes
  readonly since = (): Uint8Array => this.event
}

const isSame = <A extends object>(one: A, other: A | undefined): boolean =>
  other !== undefined &&
  (Object.keys(one) as Array<keyof A>).every((key) => one[key] === other[key])

/** The standing of the draw. A board that is up to date gets only the agencies that changed. */
export class StandingTopic implements Topic {
  private changes = 0
  private standing: DrawStanding | undefined
  private known: ReadonlyMap<Agency, AgencyStanding> = new Map()
  private changed: ReadonlyArray<AgencyStanding> = []
  private whole: Uint8Array | undefined
  private latest: Uint8Array | undefined

  set(standing: DrawStanding): void {
    const before = this.standing
    const listed = standing.agencies.length <= MAX_LISTED_AGENCIES ? standing.agencies : []
    const changed = listed.filter((row) => !isSame(row, this.known.get(row.agency)))
    const isUnchanged =
      before !== undefined &&
      changed.length === 0 &&
      listed.length === this.known.size &&
      isSame(standing.total, before.total) &&
      isSame({ ...standing.draw, agencies: null }, { ...before.draw, agencies: null })
    if (isUnchanged) return
    const known = new Map(listed.map((row) => [row.agency, row]))
    // A discard before the draw is opened can take an agency off the list.
    const hasGone = [...this.known.keys()].some((agency) => !known.has(agency))
    this.changed = hasGone ? listed : changed
    this.known = known
    this.standing = standing
    this.whole = undefined
    this.latest = undefined
    this.changes++
  }

  readonly version = (): number => this.changes

  readonly since = (seen: number): Uint8Array => {
    if (seen !== this.changes - 1 || seen === 0 || this.changed.length === this.known.size) {
      this.whole ??= this.encode(true, [...this.known.values()])
      return this.whole
    }
    this.latest ??= this.encode(false, this.changed)
    return this.latest
  }

  private encode(whole: boolean, agencies: ReadonlyArray<AgencyStanding>): Uint8Array {
    const { at, draw, total, ...standing } = this.standing!
    const listed = standing.agencies.length <= MAX_LISTED_AGENCIES
    // The list of expected agencies would be repeated in each event.
    const withoutList = draw === null ? null : { ...draw, agencies: [] }
    const event: StandingEvent = { whole, listed, draw: withoutList, agencies, total, at }
    return toEvent("standing", event)
  }
}
