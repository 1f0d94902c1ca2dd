/**
 * What every dialect's conversation about an agency's book shares: its state, its lines in the log,
 * and the ways in which it ends early.
 */
import { Deferred, Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { Peer } from "../admission/Peer.ts"
import type { AtBook, Superseded } from "../lottery/Book.ts"
import type { StoredBatch, Upload } from "../lottery/Upload.ts"
import type { Discarded } from "../store/BetStore.ts"
import * as Refusal from "./Refusal.ts"

export interface Conversation {
  readonly peer: Peer
  /** The connection as the lottery knows it. */
  readonly atBook: AtBook
  upload: Upload | undefined
  /** The peer knows that its whole book is stored. */
  isFinished: boolean
  /** The peer has asked for its winners. */
  isAsking: boolean
}

/** The peer ended the connection, or it broke. */
type Gone = EndOfStream | ConnectionLost

/**
 * Runs a conversation until it is over, the connection is gone, or something is refused: then it
 * logs the reason, and `refuse` tells the peer.
 */
export const runConversation = Effect.fnUntraced(function* <R, R2>(
  peer: Peer,
  converse: (
    conversation: Conversation
  ) => Effect.Effect<void, Refusal.Reason | Refusal.Refusal | Gone, R>,
  refuse: (
    conversation: Conversation,
    reason: Refusal.Reason
  ) => Effect.Effect<void, ConnectionLost, R2>
) {
  const mustLeave = yield* Deferred.make<never, Superseded | Discarded>()
  const { connection, ip } = peer
  const conversation: Conversation = {
    peer,
    atBook: { ip, mustLeave, lost: connection.lost },
    upload: undefined,
    isFinished: false,
    isAsking: false
  }
  yield* converse(conversation).pipe(
    Refusal.refusingDefects,
    Effect.raceFirst(Deferred.await(mustLeave)),
    Refusal.refusing,
    Effect.catchTag("Refusal", (refusal) =>
      Effect.andThen(
        Refusal.logRefusal({ ...conversation, ip }, refusal),
        refuse(conversation, refusal.reason)
      )
    ),
    Effect.tapErrorTag(["EndOfStream", "ConnectionLost"], () => logUnfinished(conversation))
  )
})

/** Logs an agency that went away in the middle of its book: the draw waits for it. */
const logUnfinished = ({ isFinished, peer, upload }: Conversation): Effect.Effect<void> =>
  upload === undefined || isFinished
    ? Effect.void
    : logAction("apuesta_recibida", "in_progress", {
        agencia: upload.agency,
        posicion: upload.position(),
        ip: peer.ip,
        error: "the agency went away before the end of its book"
      })

/** Logs the bets of one acknowledged message, or of several that came together. */
export const logStored = Effect.fnUntraced(function* (
  agencia: number,
  batch: BetBatch,
  { repeated, stored }: StoredBatch
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
