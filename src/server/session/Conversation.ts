/** The common part of the sessions that upload a book: their state, log lines and early ends. */
import { Deferred, Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { Peer } from "../admission/Peer.ts"
import type { BookConnection, Superseded } from "../lottery/Book.ts"
import type { StoredBatch, Upload } from "../lottery/Upload.ts"
import type { Discarded, Excluded } from "../store/BetStore.ts"
import * as Pending from "./Pending.ts"
import * as Refusal from "./Refusal.ts"
import { type Asked, tellWinners } from "./TellWinners.ts"

export interface Conversation {
  readonly peer: Peer
  readonly bookConnection: BookConnection
  upload: Upload | undefined
  /** What log lines say of the upload. */
  uploaded: Uploaded | undefined
  /** The number of bets in the message that is being stored. */
  storingCount: number | undefined
  /** The server has confirmed to the peer that its book is finished. */
  isFinished: boolean
  /** The peer has requested its winners. */
  isAsking: boolean
}

/** The agency of an upload, and where in the book it is. */
export type Uploaded = Pick<Upload, "agency" | "position">

/** Returns what log lines say of an upload that is over: 6 KB less than the upload. */
const toUploaded = ({ agency, position }: Upload): Uploaded => {
  const end = position()
  return { agency, position: () => end }
}

/** Forgets the upload, because the peer now waits for the draw. */
export const forgetUpload = (conversation: Conversation): void => {
  const { upload } = conversation
  conversation.uploaded = upload && toUploaded(upload)
  conversation.upload = undefined
}

const uploadOf = ({ upload, uploaded }: Conversation): Uploaded | undefined => upload ?? uploaded

type Gone = EndOfStream | ConnectionLost

/** Runs a session to its end. On a refusal it logs the reason and runs `refuse`. */
export const runConversation = Effect.fnUntraced(function* <R, R2>(
  peer: Peer,
  converse: (
    conversation: Conversation
  ) => Effect.Effect<Asked, Refusal.Reason | Refusal.Refusal | Gone, R>,
  refuse: (
    conversation: Conversation,
    refusal: Refusal.Refusal
  ) => Effect.Effect<void, ConnectionLost, R2>
) {
  const mustLeave = yield* Deferred.make<never, Superseded | Discarded | Excluded>()
  const { connection, ip } = peer
  const conversation: Conversation = {
    peer,
    bookConnection: { ip, mustLeave, lost: connection.lost },
    upload: undefined,
    uploaded: undefined,
    storingCount: undefined,
    isFinished: false,
    isAsking: false
  }
  // The race is over before the wait for the draw, in which its fibers would take 3 KB.
  const asked = Effect.raceFirst(converse(conversation), Deferred.await(mustLeave))
  const told = Effect.flatMap(asked, (question) => tellWinners(peer, mustLeave, question))
  return yield* Pending.around(told, (step) =>
    step.pipe(
      Refusal.refusingDefects,
      (refusable) => Refusal.refusing(refusable),
      Effect.catchTag("Refusal", (refusal) =>
        Refusal.noteRefusal({ ...conversation, ip, upload: uploadOf(conversation) }, refusal).pipe(
          Effect.andThen(refuse(conversation, refusal)),
          Effect.as(undefined)
        )
      ),
      Effect.tapErrorTag(["EndOfStream", "ConnectionLost"], () => logUnfinished(conversation))
    )
  )
})

/** Logs an agency that disconnected with an unfinished book, because the draw waits for it. */
const logUnfinished = (conversation: Conversation): Effect.Effect<void> => {
  const { isFinished, peer } = conversation
  const upload = uploadOf(conversation)
  return upload === undefined || isFinished
    ? Effect.void
    : logAction("apuesta_recibida", "in_progress", {
        agencia: upload.agency,
        posicion: upload.position(),
        ip: peer.ip,
        error: "the agency disconnected before it finished its book"
      })
}

/** Logs the bets of one acknowledged message, or of several that were stored together. */
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
