/**
 * Sends a book in a dialect of the old systems: batch after batch, each acknowledged before the
 * next, the last one marked.
 */
import { Data, Effect, type Result, Stream } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import { BetBatch } from "../domain/BetBatch.ts"
import type { EndOfStream } from "../protocol/ByteReader.ts"
import type { BadMessage } from "../protocol/BytesCodec.ts"
import type { ConnectionLost, PeerConnection } from "../protocol/PeerConnection.ts"
import type { Book } from "./Book.ts"
import { type Refused, toConnectionLost } from "./ServerConnection.ts"

/** The book is not the one that was checked before it was sent. */
export class BookChanged extends Data.TaggedError("BookChanged")<{
  readonly checked: number
  readonly read: number
}> {
  override get message(): string {
    return (
      `the book changed while it was sent: it had ${this.checked} bets, now it has ` +
      `${this.read < this.checked ? `only ${this.read}` : "more"}; send it again`
    )
  }
}

/** How a dialect sends a batch and hears of it. */
export interface BatchDialect {
  readonly encode: (batch: BetBatch, last: boolean) => Result.Result<Uint8Array, BadMessage>
  /** Waits for the acknowledgement of the batch that was sent. */
  readonly acknowledged: (
    connection: PeerConnection
  ) => Effect.Effect<void, Refused | BadMessage | ConnectionLost | EndOfStream>
}

/** Sends the whole book; done when the last batch is acknowledged. */
export const sendBook = Effect.fn("SendBook.sendBook")(function* (
  connection: PeerConnection,
  agency: Agency,
  book: Book,
  dialect: BatchDialect
) {
  let acknowledged = 0
  const send = Effect.fnUntraced(
    function* (batch: BetBatch) {
      const read = acknowledged + batch.count
      if (read > book.total) return yield* new BookChanged({ checked: book.total, read })
      const last = read === book.total
      yield* connection.write(yield* Effect.fromResult(dialect.encode(batch, last)))
      yield* dialect.acknowledged(connection)
      acknowledged += batch.count
      yield* logSent(agency, batch, book.total)
    },
    Effect.catchTag("EndOfStream", (end) => Effect.fail(toConnectionLost(end)))
  )
  if (book.total === 0) return yield* send(BetBatch.empty)
  yield* Stream.runForEach(book.batches, send)
  // Nothing was marked as the last: half a book must not be taken for a whole one.
  if (acknowledged < book.total) {
    return yield* new BookChanged({ checked: book.total, read: acknowledged })
  }
})

const logSent = Effect.fnUntraced(function* (agencia: Agency, batch: BetBatch, total: number) {
  yield* logAction("apuestas_enviadas", "success", { agencia, cantidad: batch.count })
  if (total !== 1) return
  for (const { document, number } of batch) {
    yield* logAction("apuesta_enviada", "success", { dni: document, numero: number })
  }
})
