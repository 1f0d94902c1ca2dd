/**
 * Taking in one batch of an upload, in the dialects of the old systems: stored or compared, and
 * said in the log in the words that people grep for.
 */
import { Effect } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import type { UnknownAgency } from "./Lottery.ts"
import type { StoredBatch, StoreFailure, Upload } from "./Upload.ts"

/** Why a message with bets is refused. */
export type Refusal = BadMessage | UnknownAgency | StoreFailure

/** The tags of the refusals of one message; `Superseded` ends the conversation as a whole. */
export const REFUSALS = [
  "BadMessage",
  "UnknownAgency",
  "BookMismatch",
  "BookDiffers",
  "Conflict",
  "AlreadyFinished",
  "StoreUnavailable",
  "StoreBroken"
] as const satisfies ReadonlyArray<Refusal["_tag"]>

/** Stores a batch and, where it is the last, finishes the agency; logs what became of it. */
export const takeBatch = Effect.fnUntraced(function* (
  upload: Upload,
  batch: BetBatch,
  last: boolean
) {
  const stored = yield* upload.store(batch, last)
  yield* logStored(upload.agency, batch, stored)
})

const logStored = Effect.fnUntraced(function* (
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
export const logQuestionRefused = (ip: string, refusal: Refusal): Effect.Effect<void> =>
  logAction("consulta_ganadores", "fail", {
    agencia: "agency" in refusal ? refusal.agency : undefined,
    ip,
    error: refusal.message
  })

/** Logs a message that was refused: whose, which bet and why. `upload` is the one it was for. */
export const logRefused = (
  ip: string,
  refusal: Refusal,
  message: { readonly upload: Upload | undefined; readonly count?: number | undefined }
): Effect.Effect<void> => {
  const bad = refusal instanceof BadMessage ? refusal : undefined
  const position = message.upload?.position() ?? 0
  const named = "agency" in refusal ? refusal.agency : undefined
  return logAction("apuesta_recibida", "fail", {
    cantidad: message.count ?? bad?.count,
    agencia: named ?? message.upload?.agency,
    posicion: positionOf(refusal, position),
    ip,
    error: refusal.message
  })
}

/** The bet that a refusal is about, as its position in the agency's book. */
const positionOf = (refusal: Refusal, uploaded: number): number => {
  switch (refusal._tag) {
    case "BookDiffers":
      return refusal.position
    case "AlreadyFinished":
    case "BookMismatch":
      return refusal.bets
    case "BadMessage":
      return uploaded + (refusal.index ?? 0)
    default:
      return uploaded
  }
}
