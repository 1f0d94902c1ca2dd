/**
 * Why the native dialect takes nothing more from a peer, and how it says so (wire: "Native",
 * codes).
 */
import { Data } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { FrameTooLarge } from "../../protocol/native/NativeFrames.ts"
import { Rejected, type RejectionCode } from "../../protocol/native/NativeMessages.ts"
import type { Unauthorized } from "../admission/Identity.ts"
import type { TooSlow } from "../admission/Timeouts.ts"
import type { UnknownAgency } from "../lottery/Lottery.ts"
import type { UploadFailure } from "../lottery/Upload.ts"
import type { DamagedBet } from "../store/BetStore.ts"
import type { InternalError } from "./InternalError.ts"

/** The agency speaks of a draw that is not this server's. */
export class WrongDraw extends Data.TaggedError("WrongDraw")<{
  readonly agency: Agency
  readonly draw: string
  readonly expected: string
}> {
  override get message(): string {
    const { agency, draw, expected } = this
    return `this server holds the draw ${expected}, agency ${agency} asked for ${draw}`
  }
}

/** The agency asks for winners before its book is whole, or after it was discarded. */
export class NotFinished extends Data.TaggedError("NotFinished")<{ readonly agency: Agency }> {
  override get message(): string {
    return `agency ${this.agency} has not finished its book, or it was discarded; send it first`
  }
}

/** The server stops. */
export class ShuttingDown extends Data.TaggedError("ShuttingDown") {
  override get message(): string {
    return "the server is shutting down; connect again"
  }
}

/** Why a conversation ends before its end. */
export type NativeRefusal =
  | BadMessage
  | FrameTooLarge
  | TooSlow
  | WrongDraw
  | UnknownAgency
  | Unauthorized
  | NotFinished
  | DamagedBet
  | InternalError
  | UploadFailure

type Coded = Exclude<NativeRefusal, BadMessage> | ShuttingDown

const CODES: Readonly<Record<Coded["_tag"], RejectionCode>> = {
  FrameTooLarge: "TooLarge",
  TooSlow: "Timeout",
  WrongDraw: "WrongDraw",
  UnknownAgency: "UnknownAgency",
  Unauthorized: "Unauthorized",
  NotFinished: "NotFinished",
  BookDiffers: "BookMismatch",
  Superseded: "Superseded",
  // Somebody decided so: a client that went on by itself would bring the same book back.
  Discarded: "Superseded",
  Conflict: "Conflict",
  AlreadyFinished: "AlreadyFinished",
  BookMismatch: "BookMismatch",
  DigestMismatch: "BookMismatch",
  StoreUnavailable: "StoreUnavailable",
  // Another attempt may succeed once an operator has acted on the log.
  DamagedBet: "StoreUnavailable",
  InternalError: "StoreUnavailable",
  // The server ends; the one that is started again knows what is held.
  StoreBroken: "StoreUnavailable",
  ShuttingDown: "ShuttingDown"
}

/** Whether an error of a conversation refuses something; otherwise the peer is gone. */
export const isNativeRefusal = (error: { readonly _tag: string }): error is NativeRefusal =>
  error._tag === "BadMessage" || error._tag in CODES

/** The longest reason that is told to a peer, in characters. */
const MAX_MESSAGE = 500

const rejected = (code: RejectionCode, text: string, position?: number): Rejected => {
  const message = text.slice(0, MAX_MESSAGE).toWellFormed()
  return new Rejected(position === undefined ? { code, message } : { code, message, position })
}

/** What the peer is told. */
export const toRejected = (refusal: NativeRefusal | ShuttingDown): Rejected => {
  if (refusal._tag === "BadMessage") {
    const { index, position = 0 } = refusal
    return index === undefined
      ? rejected("Malformed", refusal.message)
      : rejected("InvalidBet", refusal.reason, position + index)
  }
  const position = "position" in refusal ? refusal.position : undefined
  const isGap = refusal._tag === "Conflict" && refusal.position > refusal.held
  return rejected(isGap ? "Gap" : CODES[refusal._tag], refusal.message, position)
}
