/**
 * Sends a book in a dialect of the old systems: batch after batch, the last one marked, some of
 * them ahead of their acknowledgements, which come in the same order.
 */
import { Effect, type Result, Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { Book } from "../book/Book.ts"
import * as BookPass from "../book/BookPass.ts"
import {
  type BadAnswer,
  type Refused,
  type ServerConnection,
  unlessSilent
} from "../ServerConnection.ts"
import type { TlsMismatch } from "../TlsMismatch.ts"
import type { UploadProgress } from "../UploadProgress.ts"
import { sendAhead } from "./SendAhead.ts"
import { logSent } from "./SentBets.ts"

/** How a dialect sends a batch and hears of it. */
export interface BatchDialect {
  readonly encode: (batch: BetBatch, last: boolean) => Result.Result<Uint8Array, BadMessage>
  /** Waits for the acknowledgement of the next batch. */
  readonly acknowledged: (
    connection: ServerConnection
  ) => Effect.Effect<void, Refused | BadAnswer | ConnectionLost | TlsMismatch>
}

/**
 * Most that is sent ahead of its acknowledgement: enough that neither side waits for the other, and
 * that the server stores some batches at a time.
 */
const MAX_AHEAD_BYTES = 256 * 1024
const MAX_AHEAD_BATCHES = 32

/** Sends the whole book; done when the last batch is acknowledged. */
export const sendBook = Effect.fn("SendBook.sendBook")(function* (
  connection: ServerConnection,
  agency: Agency,
  book: Book,
  dialect: BatchDialect,
  progress: UploadProgress
) {
  const empty = { batch: BetBatch.empty, position: 0, last: true }
  yield* sendAhead({
    messages:
      book.total === 0
        ? Stream.concat(BookPass.whole(book), Stream.succeed(empty))
        : BookPass.whole(book),
    sizeOf: ({ batch }) => batch.byteLength,
    maxMessages: MAX_AHEAD_BATCHES,
    maxBytes: MAX_AHEAD_BYTES,
    send: ({ batch, last }) =>
      Effect.flatMap(Effect.fromResult(dialect.encode(batch, last)), connection.write),
    answered: Effect.fnUntraced(function* ({ batch, position }) {
      yield* unlessSilent(dialect.acknowledged(connection))
      yield* logSent(agency, batch, book.total)
      yield* progress.acknowledged(position + batch.count)
    })
  })
  yield* progress.finished
})
