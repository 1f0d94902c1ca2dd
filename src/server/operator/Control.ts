/**
 * The control channel: what an operator may do to a draw, as an `RpcGroup`. A server answers on a
 * Unix socket next to its store. If no server has the store open, a command executes the same acts
 * itself. A new act needs an entry here and one in `ControlActs.ts`.
 */
import { Schema } from "effect"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import { Agency } from "../../domain/Agency.ts"
import { BetNumber } from "../../domain/Bet.ts"
import { DrawId } from "../../domain/Draw.ts"
import { DrawStanding } from "./DrawStanding.ts"

/** The server that has the store open serves another draw of that store. */
export class WrongDraw extends Schema.TaggedError<WrongDraw>()("WrongDraw", {
  served: DrawId,
  asked: DrawId
}) {
  override get message(): string {
    return `the server that has the store open serves the draw ${this.served}, not ${this.asked}`
  }
}

/** The act is not possible, and changed nothing. `code` is the tag of the store's error. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  code: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

/** The store could not be read or written. */
export class StoreFailed extends Schema.TaggedError<StoreFailed>()("StoreFailed", {
  code: Schema.Literals(["StoreUnavailable", "StoreBroken"]),
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

const failures = Schema.Union([WrongDraw, Refused, StoreFailed])
export type ActFailure = typeof failures.Type

/** Which draw an act is for. */
const to = { draw: DrawId }

/** The first and the last time that a date can have, in milliseconds from the epoch. */
const MAX_TIME = 8_640_000_000_000_000
const Time = Schema.Int.check(Schema.isBetween({ minimum: -MAX_TIME, maximum: MAX_TIME }))

export const Control = RpcGroup.make(
  /** Answered once the store is open. A command sends nothing else before. */
  Rpc.make("Ready"),
  /**
   * Discards the book of an agency; returns the number of discarded bets. The same random `act`
   * again discards nothing and returns the same number. The other acts can be repeated as they are.
   */
  Rpc.make("Discard", {
    payload: { ...to, agency: Agency, act: Schema.String.check(Schema.isUUID(4)) },
    success: Schema.Int,
    error: failures
  }),
  /** Excludes agencies from the draw; returns the ones that were not excluded yet. */
  Rpc.make("Exclude", {
    payload: { ...to, agencies: Schema.NonEmptyArray(Agency) },
    success: Schema.Array(Schema.Struct({ agency: Agency, bets: Schema.Int })),
    error: failures
  }),
  /** Moves the close time, in milliseconds since the epoch; null removes it. */
  Rpc.make("MoveClose", {
    payload: { ...to, closesAt: Schema.NullOr(Time) },
    error: failures
  }),
  /** Records the winning number once every book is closed. */
  Rpc.make("Announce", { payload: { ...to, winningNumber: BetNumber }, error: failures })
)
export type Acts = RpcGroup.Rpcs<typeof Control>

/** What a server answers besides the acts; a command without a server looks at the store itself. */
export const Served = Control.add(
  /** How far the draw has got; null if it has more agencies than one message should hold. */
  Rpc.make("Standing", {
    payload: to,
    success: Schema.NullOr(DrawStanding),
    error: Schema.Union([WrongDraw, StoreFailed])
  })
)
