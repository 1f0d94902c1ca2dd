/**
 * Sends a book in a dialect of the old systems: batch after batch, each acknowledged before the
 * next, the last one marked.
 */
import { Effect, type Result, Stream } from "effect"
import type { Agency } from "../domain/Agency.ts"
import { BetBatch } from "../domain/BetBatch.ts"
import type { BadMessage } from "../protocol/BytesCodec.ts"
import type { ConnectionLost, PeerConnection } from "../protocol/PeerConnection.ts"
import type { Book } from "./Book.ts"
import * as BookPass from "./BookPass.ts"
import { logSent } from "./SentBets.ts"
import { type BadAnswer, type Refused, unlessSilent } from "./ServerConnection.ts"
import type { UploadProgress } from "./UploadProgress.ts"

/** How a dialect sends a batch and hears of it. */
export interface BatchDialect {
  readonly encode: (batch: BetBatch, last: boolean) => Result.Result<Uint8Array, BadMessage>
  /** Waits for the acknowledgement of the batch that was sent. */
  readonly acknowledged: (
    connection: PeerConnection
  ) => Effect.Effect<void, Refused | BadAnswer | ConnectionLost>
}

/** Sends the whole book; done when the last batch is acknowledged. */
export const sendBook = Effect.fn("SendBook.sendBook")(function* (
  connection: PeerConnection,
  agency: Agency,
  book: Book,
  dialect: BatchDialect,
  progress: UploadProgress
) {
  const send = Effect.fnUntraced(function* ({ batch, last, position }: BookPass.CheckedBatch) {
    const bytes = yield* Effect.fromResult(dialect.encode(batch, last))
    yield* unlessSilent(Effect.andThen(connection.write(bytes), dialect.acknowledged(connection)))
    yield* logSent(agency, batch, book.total)
    yield* progress.acknowledged(position + batch.count)
  })
  yield* Stream.runForEach(BookPass.whole(book), send)
  if (book.total === 0) yield* send({ batch: BetBatch.empty, position: 0, last: true })
})
