/** Sends a book in one of the course's batch dialects, with several batches unacknowledged. */
import { Effect, type Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import * as Book from "../book/Book.ts"
import type { ServerConnection } from "../ServerConnection.ts"
import { type ServerFailure, unlessSilent } from "../ServerFailure.ts"
import type { UploadProgress } from "../UploadProgress.ts"
import { reportAcknowledged } from "./Conversation.ts"
import { sendAhead } from "./SendAhead.ts"

export interface BatchDialect {
  readonly encode: (batch: BetBatch, last: boolean) => Result.Result<Uint8Array, BadMessage>
  readonly acknowledged: (connection: ServerConnection) => Effect.Effect<void, ServerFailure>
}

/** Unacknowledged data: enough that neither side idles and the server can group batches. */
const MAX_AHEAD_BYTES = 256 * 1024
const MAX_AHEAD_BATCHES = 32

/** Sends the whole book. Completes when the last batch is acknowledged. */
export const sendBook = Effect.fn("SendBook.sendBook")(function* (
  connection: ServerConnection,
  agency: Agency,
  book: Book.Book,
  dialect: BatchDialect,
  progress: UploadProgress
) {
  yield* sendAhead({
    messages: Book.whole(book),
    maxMessages: MAX_AHEAD_BATCHES,
    maxBytes: MAX_AHEAD_BYTES,
    encode: ({ batch, last }) => dialect.encode(batch, last),
    write: connection.write,
    answered: (sent) =>
      Effect.andThen(
        unlessSilent(dialect.acknowledged(connection)),
        reportAcknowledged(agency, sent, progress)
      )
  })
  yield* progress.finish()
})
