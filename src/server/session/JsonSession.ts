/** The session of a client that sends JSON messages (docs/wire.md, "JSON messages"). */
import { Effect, Result } from "effect"
import * as Json from "../../protocol/json/JsonMessages.ts"
import type { Peer } from "../admission/Peer.ts"
import * as CourseSession from "./CourseSession.ts"
import { encodeOnce } from "./TellWinners.ts"

const dialect: CourseSession.BookDialect = {
  messageEnd: Json.jsonMessageEnd,
  decode: Json.decodeJsonRequest,
  read: Effect.fnUntraced(function* ({ connection: { reader }, memory }) {
    const message = yield* Json.takeJsonMessage(reader)
    const decode = Effect.suspend(() => Effect.fromResult(Json.decodeJsonRequest(message)))
    return yield* memory.parsing(message.length, decode)
  }),
  stored: Result.getOrThrow(Json.encodeJsonReply(new Json.ChunkProcessed())),
  refused: (reason) => Result.getOrThrow(Json.encodeJsonReply(new Json.ChunkRejected({ reason }))),
  winners: encodeOnce(({ documents }) =>
    Json.encodeJsonReply(new Json.InformWinners({ documents }))
  )
}

export const run = (peer: Peer) => CourseSession.run(peer, dialect)
