/**
 * An agency's conversation in JSON messages (docs/wire.md, "JSON messages"): it sends the book over
 * one connection and asks for the winners over another, on the second port. If either is lost, the
 * book starts over: the server compares it with the stored bets and stores nothing twice.
 */
import { Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import * as Json from "../../protocol/json/JsonMessages.ts"
import { reconnecting } from "../Reconnect.ts"
import { connect, type ServerConnection } from "../ServerConnection.ts"
import { Refused, readAnswer, unexpected } from "../ServerFailure.ts"
import { type Conversation, namesWithout } from "./Conversation.ts"
import { type BatchDialect, sendBook } from "./SendBook.ts"

/** Reads the next answer. Fails if it rejects a chunk. */
const receive = Effect.fnUntraced(function* ({ reader }: ServerConnection) {
  const reply = yield* readAnswer(Json.readJsonReply(reader))
  if (reply._tag !== "ChunkRejected") return reply
  return yield* new Refused({ reason: reply.reason, retryable: false })
})

export const make = (agency: Agency): Conversation => {
  const dialect: BatchDialect = {
    encode: (batch, last) => Json.encodeJsonRequest(new Json.Chunk({ agency, batch, last })),
    acknowledged: Effect.fnUntraced(function* (connection) {
      const reply = yield* receive(connection)
      if (reply._tag !== "ChunkProcessed") return yield* unexpected(reply)
    })
  }

  const askWinners = Effect.fnUntraced(function* (connection: ServerConnection) {
    const question = Json.encodeJsonRequest(new Json.ConsultWinners({ agency }))
    yield* connection.write(yield* Effect.fromResult(question))
    const reply = yield* receive(connection)
    return reply._tag === "InformWinners" ? reply.documents : yield* unexpected(reply)
  })

  return {
    check: namesWithout(",", "json"),
    maxBatchBytes: Json.MAX_BATCH_BYTES,
    hold: (book, { server, winnersServer }, progress) =>
      reconnecting(
        agency,
        progress,
        Effect.gen(function* () {
          yield* Effect.flatMap(connect(server), (connection) =>
            sendBook(connection, agency, book, dialect, progress)
          ).pipe(Effect.scoped)
          return yield* askWinners(yield* connect(winnersServer))
        })
      )
  }
}
