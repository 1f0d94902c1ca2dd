/**
 * The error that ends a session because the server rejects the peer: its reasons, their log line
 * and their native rejection (docs/wire.md, "Rejection codes"). A codec or the lottery fails with a
 * reason. `refusing` turns it into a `Refusal`, which `runConversation` logs and sends.
 */
import { Cause, Data, Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { FrameTooLarge } from "../../protocol/native/NativeFrames.ts"
import { Rejected, type RejectionCode } from "../../protocol/native/NativeMessages.ts"
import type { Unauthorized } from "../admission/Identity.ts"
import { Refusals } from "../admission/Refusals.ts"
import type { TooSlow } from "../admission/Timeouts.ts"
import type { Superseded } from "../lottery/Book.ts"
import type { BookDiffers } from "../lottery/Comparison.ts"
import type { UnknownAgency } from "../lottery/Lottery.ts"
import type { DigestMismatch, Upload } from "../lottery/Upload.ts"
import type * as BetStore from "../store/BetStore.ts"
import type { DrawMissed } from "../store/StoredDraw.ts"

/** A reason that comes from the session itself. */
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
  | BetStore.Excluded
  | BetStore.Conflict
  | BetStore.AlreadyFinished
  | BetStore.BookMismatch
  | BetStore.DamagedBet
  | BetStore.StoreUnavailable
  | BetStore.StoreBroken
  | DrawMissed

export class Refusal extends Data.TaggedError("Refusal")<{
  readonly reason: Reason
  /** The number of bets in the refused message, if known. */
  readonly count?: number | undefined
}> {
  override get message(): string {
    return this.reason.message
  }
}

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
  // An operator discarded the book: a client that retried would send it again.
  Discarded: "Superseded",
  Excluded: "Excluded",
  DrawMissed: "Missed",
  Conflict: "Conflict",
  AlreadyFinished: "AlreadyFinished",
  StoreUnavailable: "StoreUnavailable",
  // A retry may succeed once an operator has repaired the store.
  DamagedBet: "StoreUnavailable",
  // The server stops; after a restart it knows what is stored.
  StoreBroken: "StoreUnavailable"
}

const isReason = (error: { readonly _tag: string }): error is Reason =>
  error._tag === "Objection" || error._tag in CODES

/** Turns every reason into a `Refusal` of a message with `count` bets. */
export const refusing = <A, E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<A, E, R>,
  count?: number
): Effect.Effect<A, Refusal | Exclude<E, Reason>, R> =>
  Effect.mapError(effect, (error) =>
    isReason(error) ? new Refusal({ reason: error, count }) : (error as Exclude<E, Reason>)
  )

/** Turns a defect into a reason, so that it ends only this session. */
export const refusingDefects = <A, E, R>(conversation: Effect.Effect<A, E, R>) =>
  Effect.catchDefect(conversation, (defect) => {
    const message = `internal error: ${defect instanceof Error ? defect.message : String(defect)}`
    return Effect.andThen(
      Effect.logDebug("internal error", Cause.die(defect)),
      Effect.fail(new Objection({ code: "StoreUnavailable", message }))
    )
  })

/** Maximum length of a message to a peer, in UTF-16 code units. */
const MAX_MESSAGE = 500

/** Encodes a reason for a native peer. */
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
      const isGap = reason.position > reason.expected
      return rejected(isGap ? "Gap" : CODES.Conflict, reason.message, reason.position)
    }
    case "BookDiffers":
    case "DamagedBet":
      return rejected(CODES[reason._tag], reason.message, reason.position)
    default:
      return rejected(CODES[reason._tag], reason.message)
  }
}

/** Returns the position in the book of the bet that a reason is about. */
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

interface Refused {
  readonly ip: string
  readonly upload: Pick<Upload, "agency" | "position"> | undefined
  readonly isAsking: boolean
}

/**
 * Logs and counts a refused request for winners, or refused bets with their agency, position and
 * reason.
 */
export const noteRefusal = Effect.fnUntraced(function* (
  { ip, isAsking, upload }: Refused,
  { count, reason }: Refusal
): Effect.fn.Return<void, never, Refusals> {
  const agencia = ("agency" in reason ? reason.agency : undefined) ?? upload?.agency
  const error = reason.message
  const { code, position } = toRejected(reason)
  yield* (yield* Refusals).note({ reason: code, agency: agencia, position })
  // An upload that is superseded or discarded is logged as such, even while it waits for winners.
  const isDisconnected = reason._tag === "Superseded" || reason._tag === "Discarded"
  if (isAsking && !(isDisconnected && upload !== undefined)) {
    const posicion = reason._tag === "DamagedBet" ? reason.position : undefined
    return yield* logAction("consulta_ganadores", "fail", { agencia, posicion, ip, error })
  }
  yield* logAction("apuesta_recibida", "fail", {
    cantidad: isDisconnected ? undefined : (count ?? countOf(reason)),
    agencia,
    posicion: positionOf(reason, upload?.position() ?? 0),
    ip,
    superseded_by: reason._tag === "Superseded" ? reason.by : undefined,
    error
  })
})
