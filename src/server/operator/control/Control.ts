/**
 * The control channel: what an operator may do to a draw, as an `RpcGroup`. A server answers on a
 * Unix socket next to its store. If no server has the store open, a command executes the same acts
 * itself. A new act needs an entry here and one in `ControlActs.ts`.
 */
import { Schema } from "effect"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import { Agency } from "../../../domain/Agency.ts"
import { BetNumber } from "../../../domain/Bet.ts"
import { DrawId, Round } from "../../../domain/Draw.ts"
import { DrawStanding } from "../DrawStanding.ts"

/** The act is not possible, or the store failed. `code` is the tag of the error. */
export class ActFailed extends Schema.TaggedError<ActFailed>()("ActFailed", {
  code: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

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
    error: ActFailed
  }),
  /** Excludes agencies from the draw; returns the ones that were not excluded yet. */
  Rpc.make("Exclude", {
    payload: { ...to, agencies: Schema.NonEmptyArray(Agency) },
    success: Schema.Array(Schema.Struct({ agency: Agency, bets: Schema.Int })),
    error: ActFailed
  }),
  /** Moves the close time, in milliseconds since the epoch; null removes it. */
  Rpc.make("MoveClose", {
    payload: { ...to, closesAt: Schema.NullOr(Time) },
    error: ActFailed
  }),
  /** Records the winning number once every book is closed. */
  Rpc.make("Announce", { payload: { ...to, winningNumber: BetNumber }, error: ActFailed }),
  /** Records the number that follows from the round of drand; returns it. */
  Rpc.make("AnnounceBeacon", {
    payload: { ...to, round: Round, signature: Schema.String },
    success: BetNumber,
    error: ActFailed
  })
)
export type Acts = RpcGroup.Rpcs<typeof Control>

/** What a server answers besides the acts; a command without a server looks at the store itself. */
export const Served = Control.add(
  /**
   * How far the draw has got; null if the server serves another draw, its store fails, or the draw
   * has more agencies than one message should hold.
   */
  Rpc.make("Standing", {
    payload: to,
    success: Schema.NullOr(DrawStanding)
  })
)
