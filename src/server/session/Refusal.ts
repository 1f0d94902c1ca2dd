/**
 * The error that ends a conversation because the server takes nothing more from the peer: its
 * reasons, their line in the log, and their words for a native peer (wire: "Native", codes). A
 * codec or the lottery fails with a reason, `refusing` makes it a `Refusal`, and `runConversation`
 * logs it and has the dialect tell the peer.
 */
import { Cause, Data, Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { FrameTooLarge } from "../../protocol/native/NativeFrames.ts"
import { Rejected, type RejectionCode } from "../../protocol/native/NativeMessages.ts"
import type { Unauthorized } from "../admission/Identity.ts"
import type { TooSlow } from "../admission/Timeouts.ts"
import type { Superseded } from "../lottery/Book.ts"
import type { BookDiffers } from "../lottery/Comparison.ts"
import type { UnknownAgency } from "../lottery/Lottery.ts"
import type { DigestMismatch, Upload } from "../lottery/Upload.ts"
import type * as BetStore from "../store/BetStore.ts"

/** A reason of the conversation's own. */
export class Objection extends Data.TaggedError("Objection")<{
  readonly code: RejectionCode
  readonly message: string
  readonly agency?: Agency
}> {}

export type Reason =
  | Objection
  | BadMessage
  | FrameTooLarge
  | TooSlow
  | UnknownAgency
  | Unauthorized
  | BookDiffers
  | DigestMismatch
  | Superseded
  | BetStore.Discarded
  | BetStore.Conflict
  | BetStore.AlreadyFinished
  | BetStore.BookMismatch
  | BetStore.DamagedBet
  | BetStore.StoreUnavailable
  | BetStore.StoreBroken

/** The server takes nothing more from the peer. */
export class Refusal extends Data.TaggedError("Refusal")<{
  readonly reason: Reason
  /** How many bets the refused message has, if known. */
  readonly count?: number | undefined
}> {
  override get message(): string {
    return this.reason.message
  }
}

/** The code of each reason; an `Objection` brings its own. */
const CODES: Readonly<Record<Exclude<Reason["_tag"], "Objection">, RejectionCode>> = {
  BadMessage: "Malformed",
  FrameTooLarge: "TooLarge",
  TooSlow: "Timeout",
  UnknownAgency: "UnknownAgency",
  Unauthorized: "Unauthorized",
  BookDiffers: "BookMismatch",
  BookMismatch: "BookMismatch",
  DigestMismatch: "BookMismatch",
  Superseded: "Superseded",
  // A person decided so: a client that went on by itself would bring the same book back.
  Discarded: "Superseded",
  Conflict: "Conflict",
  AlreadyFinished: "AlreadyFinished",
  StoreUnavailable: "StoreUnavailable",
  // Another attempt may succeed once an operator has acted on the log.
  DamagedBet: "StoreUnavailable",
  // The server ends; the one that is started again knows what is stored.
  StoreBroken: "StoreUnavailable"
}

const isReason = (error: { readonly _tag: string }): error is Reason =>
  error._tag === "Objection" || error._tag in CODES

/** Turns each error that is a reason into the `Refusal` of a message with `count` bets. */
export const refusing = <A, E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<A, E, R>,
  count?: number
): Effect.Effect<A, Refusal | Exclude<E, Reason>, R> =>
  Effect.mapError(effect, (error) =>
    isReason(error) ? new Refusal({ reason: error, count }) : (error as Exclude<E, Reason>)
  )

/** Turns a defect of the server into a reason: it ends this conversation and no other. */
export const refusingDefects = <A, E, R>(conversation: Effect.Effect<A, E, R>) =>
  Effect.catchDefect(conversation, (defect) => {
    const message = `internal error: ${defect instanceof Error ? defect.message : String(defect)}`
    return Effect.andThen(
      Effect.logDebug("internal error", Cause.die(defect)),
      Effect.fail(new Objection({ code: "StoreUnavailable", message }))
    )
  })

/** The longest text that is told to a peer, in characters. */
const MAX_MESSAGE = 500

/** What a native peer is told. */
export const toRejected = (reason: Reason): Rejected => {
  const rejected = (code: RejectionCode, text: string, position?: number) => {
    const message = text.slice(0, MAX_MESSAGE).toWellFormed()
    return new Rejected(position === undefined ? { code, message } : { code, message, position })
  }
  switch (reason._tag) {
    case "Objection":
      return rejected(reason.code, reason.message)
    case "BadMessage":
      return reason.index === undefined
        ? rejected(CODES.BadMessage, reason.message)
        : rejected("InvalidBet", reason.reason, (reason.position ?? 0) + reason.index)
    case "Conflict": {
      const isGap = reason.position > reason.held
      return rejected(isGap ? "Gap" : CODES.Conflict, reason.message, reason.position)
    }
    case "BookDiffers":
    case "DamagedBet":
      return rejected(CODES[reason._tag], reason.message, reason.position)
    default:
      return rejected(CODES[reason._tag], reason.message)
  }
}

/** The bet that a reason is about, as its position in the agency's book. */
const positionOf = (reason: Reason, uploaded: number): number => {
  switch (reason._tag) {
    case "BookDiffers":
    case "Conflict":
      return reason.position
    case "AlreadyFinished":
    case "BookMismatch":
      return reason.bets
    case "BadMessage":
      return (reason.position ?? uploaded) + (reason.index ?? 0)
    default:
      return uploaded
  }
}

const countOf = (reason: Reason) => (reason._tag === "BadMessage" ? reason.count : undefined)

/** What a refusal meets: where the peer is, what it sends, and if it asks for its winners. */
interface Refused {
  readonly ip: string
  readonly upload: Upload | undefined
  readonly isAsking: boolean
}

/** Logs a refused question for the winners, or refused bets: whose, which bet and why. */
export const logRefusal = (
  { ip, isAsking, upload }: Refused,
  { count, reason }: Refusal
): Effect.Effect<void> => {
  const agency = "agency" in reason ? reason.agency : undefined
  const error = reason.message
  // An agency that must leave its book while it waits for its winners is logged with the book.
  const mustLeave = reason._tag === "Superseded" || reason._tag === "Discarded"
  if (isAsking && !(mustLeave && upload !== undefined)) {
    const posicion = reason._tag === "DamagedBet" ? reason.position : undefined
    return logAction("consulta_ganadores", "fail", { agencia: agency, posicion, ip, error })
  }
  return logAction("apuesta_recibida", "fail", {
    cantidad: mustLeave ? undefined : (count ?? countOf(reason)),
    agencia: agency ?? upload?.agency,
    posicion: positionOf(reason, upload?.position() ?? 0),
    ip,
    superseded_by: reason._tag === "Superseded" ? reason.by : undefined,
    error
  })
}
