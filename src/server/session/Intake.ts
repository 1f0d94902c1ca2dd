/**
 * What the log says of the bets that come in, in every dialect, in the words that people grep for:
 * stored, held already, or refused and why.
 */
import { Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { Unauthorized } from "../admission/Identity.ts"
import type { TooSlow } from "../admission/Timeouts.ts"
import type { UnknownAgency } from "../lottery/Lottery.ts"
import type { Superseded } from "../lottery/Turn.ts"
import type { StoredBatch, UploadFailure } from "../lottery/Upload.ts"
import type { DamagedBet, Discarded } from "../store/BetStore.ts"
import type { InternalError } from "./InternalError.ts"
import type { NativeRefusal } from "./NativeRefusal.ts"

/** Why a message with bets is refused. */
export type Refusal =
  | BadMessage
  | TooSlow
  | UnknownAgency
  | Unauthorized
  | UploadFailure
  | InternalError

/** Why a question for the winners is refused. */
export type QuestionRefusal =
  | BadMessage
  | UnknownAgency
  | Unauthorized
  | Superseded
  | Discarded
  | DamagedBet

type AnyRefusal = Refusal | QuestionRefusal | NativeRefusal

/** What a peer has uploaded so far. */
export interface Uploaded {
  readonly agency: number
  readonly position: () => number
}

/** The tags of the refusals of a whole message; `Superseded` ends the conversation as a whole. */
export const REFUSALS = [
  "BadMessage",
  "UnknownAgency",
  "Unauthorized",
  "BookMismatch",
  "BookDiffers",
  "DigestMismatch",
  "Conflict",
  "AlreadyFinished",
  "StoreUnavailable",
  "StoreBroken"
] as const satisfies ReadonlyArray<Refusal["_tag"]>

/** Logs bets that were acknowledged: those of a message, or of several that came together. */
export const logStored = Effect.fnUntraced(function* (
  agencia: number,
  batch: BetBatch,
  { stored, repeated }: StoredBatch
) {
  if (stored > 0) {
    yield* logAction("apuestas_almacenadas", "success", { agencia, cantidad: stored })
  }
  yield* logAction("apuesta_recibida", "success", {
    cantidad: batch.count,
    repetidas: repeated === 0 ? undefined : repeated
  })
  if (stored === 1 && batch.count === 1) {
    for (const { document, number } of batch) {
      yield* logAction("apuesta_almacenada", "success", { dni: document, numero: number })
    }
  }
})

/** Logs a question for the winners that was refused: from where, whose and why. */
export const logQuestionRefused = (ip: string, refusal: AnyRefusal): Effect.Effect<void> =>
  logAction("consulta_ganadores", "fail", {
    agencia: "agency" in refusal ? refusal.agency : undefined,
    posicion: refusal._tag === "DamagedBet" ? refusal.position : undefined,
    ip,
    error: refusal.message
  })

/** Logs a message that was refused: whose, which bet and why. `upload` is the one it was for. */
export const logRefused = (
  ip: string,
  refusal: AnyRefusal,
  message: { readonly upload: Uploaded | undefined; readonly count?: number | undefined }
): Effect.Effect<void> => {
  const position = message.upload?.position() ?? 0
  const named = "agency" in refusal ? refusal.agency : undefined
  const counted = refusal._tag === "BadMessage" ? refusal.count : undefined
  return logAction("apuesta_recibida", "fail", {
    cantidad: message.count ?? counted,
    agencia: named ?? message.upload?.agency,
    posicion: positionOf(refusal, position),
    ip,
    superseded_by: refusal._tag === "Superseded" ? refusal.by : undefined,
    error: refusal.message
  })
}

/** The bet that a refusal is about, as its position in the agency's book. */
const positionOf = (refusal: AnyRefusal, uploaded: number): number => {
  switch (refusal._tag) {
    case "BookDiffers":
    case "Conflict":
    case "DamagedBet":
      return refusal.position
    case "AlreadyFinished":
    case "BookMismatch":
      return refusal.bets
    case "BadMessage":
      return (refusal.position ?? uploaded) + (refusal.index ?? 0)
    default:
      return uploaded
  }
}

/** Logs an agency that went away in the middle of its book, for whoever waits for the draw. */
export const logUnfinished = (ip: string, { agency, position }: Uploaded): Effect.Effect<void> =>
  logAction("apuesta_recibida", "in_progress", {
    agencia: agency,
    posicion: position(),
    ip,
    error: "the agency went away before the end of its book"
  })
