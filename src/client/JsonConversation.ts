/**
 * An agency's conversation in JSON messages (wire: "JSON messages"): the book over one connection,
 * the question for the winners over another, on the second port. On a new connection the book
 * starts over, as long as it is not up: the server compares what it holds, and stores nothing
 * twice.
 */
import { Effect } from "effect"
import type { Agency } from "../domain/Agency.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import * as Json from "../protocol/JsonMessages.ts"
import type { PeerConnection } from "../protocol/PeerConnection.ts"
import { type Conversation, namesWithout } from "./Conversation.ts"
import { reconnecting } from "./Reconnect.ts"
import { type BatchDialect, sendBook } from "./SendBook.ts"
import { connect, Refused, toConnectionLost } from "./ServerConnection.ts"

const unexpected = (tag: string) => new BadMessage({ reason: `the server answered with ${tag}` })

const refused = ({ reason }: Json.ChunkRejected) => new Refused({ reason, retryable: false })

const batches = (agency: Agency): BatchDialect => ({
  encode: (batch, last) => Json.encodeJsonRequest(new Json.Chunk({ agency, batch, last })),
  acknowledged: Effect.fnUntraced(function* (connection: PeerConnection) {
    const reply = yield* Json.readJsonReply(connection.reader)
    if (reply._tag === "ChunkRejected") return yield* refused(reply)
    if (reply._tag !== "ChunkProcessed") return yield* unexpected(reply._tag)
  })
})

const askWinners = Effect.fnUntraced(
  function* (connection: PeerConnection, agency: Agency) {
    const question = new Json.ConsultWinners({ agency })
    yield* connection.write(yield* Effect.fromResult(Json.encodeJsonRequest(question)))
    const reply = yield* Json.readJsonReply(connection.reader)
    if (reply._tag === "ChunkRejected") return yield* refused(reply)
    if (reply._tag !== "InformWinners") return yield* unexpected(reply._tag)
    return reply.documents
  },
  Effect.catchTag("EndOfStream", (end) => Effect.fail(toConnectionLost(end)))
)

export const make = (agency: Agency): Conversation => ({
  check: namesWithout(",", "json"),
  maxBatchBytes: Json.MAX_BATCH_BYTES,
  hold: Effect.fnUntraced(function* (book, { server, winnersServer }, progress) {
    yield* reconnecting(agency, progress, (watched) =>
      Effect.scoped(
        Effect.flatMap(connect(server), (connection) =>
          sendBook(connection, agency, book, batches(agency), watched)
        )
      )
    )
    return yield* reconnecting(agency, progress, () =>
      Effect.scoped(
        Effect.flatMap(connect(winnersServer), (connection) => askWinners(connection, agency))
      )
    )
  })
})
