/**
 * An agency's conversation in JSON messages (wire: "JSON messages"): the book over one connection,
 * the question for the winners over another, on the second port. Where either is lost the book
 * starts over: the server compares what it holds, and stores nothing twice.
 */
import { Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import * as Json from "../../protocol/json/JsonMessages.ts"
import { reconnecting } from "../Reconnect.ts"
import {
  connect,
  hearAnswer,
  Refused,
  type ServerConnection,
  shownReason,
  unexpected
} from "../ServerConnection.ts"
import { type Conversation, namesWithout } from "./Conversation.ts"
import { type BatchDialect, sendBook } from "./SendBook.ts"

const refused = ({ reason }: Json.ChunkRejected) =>
  new Refused({ reason: shownReason(reason), retryable: false })

const batches = (agency: Agency): BatchDialect => ({
  encode: (batch, last) => Json.encodeJsonRequest(new Json.Chunk({ agency, batch, last })),
  acknowledged: Effect.fnUntraced(function* ({ reader }: ServerConnection) {
    const reply = yield* hearAnswer(Json.readJsonReply(reader))
    if (reply._tag === "ChunkRejected") return yield* refused(reply)
    if (reply._tag !== "ChunkProcessed") return yield* unexpected(reply._tag)
  })
})

const askWinners = Effect.fnUntraced(function* (
  { reader, write }: ServerConnection,
  agency: Agency
) {
  const question = new Json.ConsultWinners({ agency })
  yield* write(yield* Effect.fromResult(Json.encodeJsonRequest(question)))
  const reply = yield* hearAnswer(Json.readJsonReply(reader))
  if (reply._tag === "ChunkRejected") return yield* refused(reply)
  if (reply._tag !== "InformWinners") return yield* unexpected(reply._tag)
  return reply.documents
})

export const make = (agency: Agency): Conversation => ({
  check: namesWithout(",", "json"),
  maxBatchBytes: Json.MAX_BATCH_BYTES,
  hold: (book, { server, winnersServer }, progress) =>
    reconnecting(
      agency,
      progress,
      Effect.fnUntraced(function* (watched) {
        yield* Effect.scoped(
          Effect.flatMap(connect(server), (connection) =>
            sendBook(connection, agency, book, batches(agency), watched)
          )
        )
        const connection = yield* connect(winnersServer)
        return yield* askWinners(connection, agency)
      }, Effect.scoped)
    )
})
