/** The draw as a store holds it, its terms and steps, and why a step is refused. */
import { Data, Effect, Equal } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import {
  describeAgencies,
  describeSource,
  type NumberSource,
  nameAgencies,
  showTime
} from "../../domain/Draw.ts"
import type { Beacon } from "../../domain/seal/Quicknet.ts"

/** The terms that a draw is opened with. Its id is a parameter of the store's layer instead. */
export interface DrawTerms {
  readonly agencies: ReadonlyArray<Agency>
  readonly source: NumberSource
  /** When unfinished agencies are excluded, in milliseconds since the epoch; never if undefined. */
  readonly closeAt?: number | undefined
  /** The operator's verifier key (vkey) if the draw is sealed. */
  readonly sealKey?: string | undefined
}

/**
 * A draw is open, then closed for good, sealed if it has a key, numbered, and drawn; each step is
 * recorded once. Once `sealedAt` or the number is recorded, no book can change and no agency can be
 * excluded.
 */
export interface StoredDraw extends DrawTerms {
  /** The close time now: `closeAt`, unless an operator moved it. */
  readonly closesAt: number | undefined
  /**
   * When the entries of the seal were recorded, in POSIX seconds. A draw without a key has it too
   * if its number comes from drand.
   */
  readonly sealedAt: number | undefined
  /** The signed seal is recorded. */
  readonly sealed: boolean
  /** The winning number, once it is recorded. */
  readonly winningNumber: number | undefined
  /** The round from which the number was derived, if it was. */
  readonly beacon: Beacon | undefined
  /** The winners are recorded. */
  readonly drawn: boolean
}

/** An agency that the draw goes without. */
export interface Exclusion {
  readonly agency: Agency
  /** Its stored bets. */
  readonly bets: number
}

const UNOPENED = "the draw has not been opened yet; start a server with this store first"

/** The agency is not in the draw and has nothing stored. */
export class NoSuchAgency extends Data.TaggedError("NoSuchAgency")<{
  readonly agency: Agency
  readonly drawId: string
  /** Undefined before the draw is opened. */
  readonly draw: StoredDraw | undefined
}> {
  override get message(): string {
    const { agency, draw, drawId } = this
    const known = draw && `; its agencies are ${describeAgencies(draw.agencies)}`
    return `the draw ${drawId} has no agency ${agency}${known ?? ""}`
  }
}

/** The winning number cannot be recorded because some agencies have not finished. */
export class NotAllFinished extends Data.TaggedError("NotAllFinished")<{
  readonly missing: ReadonlyArray<Agency>
}> {
  override get message(): string {
    return this.missing.length === 0
      ? UNOPENED
      : `the draw is waiting for ${nameAgencies(this.missing)}`
  }
}

/** The draw has another winning number. */
export class OtherNumber extends Data.TaggedError("OtherNumber")<{
  readonly winningNumber: number
}> {
  override get message(): string {
    return `the winning number of the draw is ${this.winningNumber}, which cannot be changed`
  }
}

/** The draw cannot be held yet because its winning number is not recorded. */
export class NotNumbered extends Data.TaggedError("NotNumbered") {
  override get message(): string {
    return "the winning number of the draw is not known yet"
  }
}

/** The number cannot be recorded before the draw is sealed. */
export class NotSealed extends Data.TaggedError("NotSealed") {
  override get message(): string {
    return "the draw is not sealed yet"
  }
}

/** A book changed, or an agency was excluded, since the entries of the seal were made. */
export class EntriesOutdated extends Data.TaggedError("EntriesOutdated")<{
  readonly agency: Agency
}> {
  override get message(): string {
    return `the book of agency ${this.agency} changed while the draw was being sealed`
  }
}

/**
 * The draw was not sealed before the round of its number was published. It is never held: only
 * another draw helps.
 */
export class DrawMissed extends Data.TaggedError("DrawMissed")<{
  readonly drawId: string
  readonly round: number
}> {
  override get message(): string {
    const { drawId, round } = this
    return (
      `the draw ${drawId} was missed: its books were not closed before drand round ${round} was ` +
      "published; start another draw with a later --draw-at"
    )
  }
}

/** The agency's book is part of the record of the draw and must be kept. */
export class BookKept extends Data.TaggedError("BookKept")<{
  readonly agency: Agency
  readonly drawId: string
  readonly because: "drawn" | "numbered" | "sealed" | "excluded"
}> {
  override get message(): string {
    const { agency, because, drawId } = this
    const reasons = {
      drawn: `the draw ${drawId} has been held`,
      numbered: `the winning number of the draw ${drawId} is known`,
      sealed: `the books of the draw ${drawId} are closed for good`,
      excluded: `agency ${agency} is excluded from the draw ${drawId}`
    }
    return `${reasons[because]}: the book of agency ${agency} cannot be discarded`
  }
}

/** Why no agency can be excluded; `agencies` are the ones that stand against it. */
export interface ExclusionProblem {
  readonly why: "unopened" | "unknown" | "finished" | "closed" | "last"
  readonly agencies: ReadonlyArray<Agency>
}

/** No agency was excluded, because one of them, or the draw, does not allow it. */
export class NotExcluded extends Data.TaggedError("NotExcluded")<ExclusionProblem> {
  override get message(): string {
    const who = nameAgencies(this.agencies)
    const isOne = this.agencies.length === 1
    const reasons = {
      unopened: UNOPENED,
      unknown: `no agency was excluded: ${who} ${isOne ? "is" : "are"} not in the draw`,
      finished: `no agency was excluded: ${who} ${isOne ? "has" : "have"} finished`,
      closed: "no agency was excluded: every book of the draw is closed",
      last: "no agency was excluded: at least one must be left in the draw"
    }
    return reasons[this.why]
  }
}

/** Why the close time cannot be moved. */
export interface CloseProblem {
  readonly why: "unopened" | "closed" | "passed" | "late"
  /** The close time that has passed, or the last one that there can be. */
  readonly closesAt?: number
}

/** The close time stays as it was. */
export class CloseNotMoved extends Data.TaggedError("CloseNotMoved")<CloseProblem> {
  override get message(): string {
    const { closesAt = 0, why } = this
    const reasons = {
      unopened: UNOPENED,
      closed: "every book of the draw is closed, so its close time cannot be moved",
      late:
        "the books must be closed a minute before the round of the draw: " +
        `expected a close time up to ${showTime(closesAt)}`,
      passed: `the close time ${showTime(closesAt)} has passed, so it cannot be moved`
    }
    return reasons[why]
  }
}

/** Describes an operator's verifier key (vkey) without the key itself. */
const describeKey = (vkey: string): string => {
  const [name, id] = vkey.split("+")
  return `sealed by ${name} (key ${id})`
}

/** The draw was opened earlier with other terms. */
export class DrawMismatch extends Data.TaggedError("DrawMismatch")<{
  readonly drawId: string
  readonly stored: StoredDraw
  readonly requested: DrawTerms
}> {
  override get message(): string {
    const { drawId, requested, stored } = this
    const isTimed = stored.closeAt !== undefined || requested.closeAt !== undefined
    const isSealed = stored.sealKey !== undefined || requested.sealKey !== undefined
    const describe = ({ agencies, closeAt, sealKey, source }: DrawTerms) => {
      const time = closeAt === undefined ? "no close time" : `close time ${showTime(closeAt)}`
      const key = sealKey === undefined ? "not sealed" : describeKey(sealKey)
      const terms = [`${nameAgencies(agencies)} and ${describeSource(source)}`]
      return [...terms, ...(isTimed ? [time] : []), ...(isSealed ? [key] : [])].join(", ")
    }
    return (
      `the draw ${drawId} was opened with ${describe(stored)}, ` +
      `but this server was started with ${describe(requested)}; ` +
      "use the same terms, or start another draw with --draw or --store"
    )
  }
}

/** Returns the stored draw if its terms are the requested ones. A moved close time fits too. */
export const ensureSameTerms = (
  drawId: string,
  stored: StoredDraw,
  requested: DrawTerms
): Effect.Effect<StoredDraw, DrawMismatch> =>
  Equal.equals(stored.source, requested.source) &&
  stored.sealKey === requested.sealKey &&
  stored.agencies.join() === requested.agencies.join() &&
  [stored.closeAt, stored.closesAt].includes(requested.closeAt)
    ? Effect.succeed(stored)
    : Effect.fail(new DrawMismatch({ drawId, stored, requested }))
