/** The conversation of an agency in JSON messages (wire: "JSON messages"). */
import { Effect, Result } from "effect"
import * as Json from "../../protocol/json/JsonMessages.ts"
import type { Peer } from "../admission/Peer.ts"
import * as BookSession from "./BookSession.ts"
import { madeOnce } from "./TellWinners.ts"

const dialect: BookSession.BookDialect = {
  beginsWithMessage: Json.beginsWithJsonMessage,
  read: Effect.fnUntraced(function* ({ connection: { reader }, held }) {
    const message = yield* Json.takeJsonMessage(reader)
    const decode = Effect.suspend(() => Effect.fromResult(Json.decodeJsonRequest(message)))
    return yield* held.parsing(message.length, decode)
  }),
  stored: Result.getOrThrow(Json.encodeJsonReply(new Json.ChunkProcessed())),
  refused: (reason) => Result.getOrThrow(Json.encodeJsonReply(new Json.ChunkRejected({ reason }))),
  winners: madeOnce((documents) => Json.encodeJsonReply(new Json.InformWinners({ documents })))
}

export const run = (peer: Peer) => BookSession.run(peer, dialect)
