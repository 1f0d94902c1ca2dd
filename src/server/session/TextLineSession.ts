/**
 * The echo of the first exercises (wire: "Text line"): one line, logged, sent back, closed. A line
 * that is an HTTP request is refused in the words of HTTP.
 */
import { Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { HTTP_REFUSAL, isHttpRequest } from "../../protocol/line/HttpRequest.ts"
import { encodeTextLine, readTextLine } from "../../protocol/line/TextLine.ts"
import type { Peer } from "../admission/Peer.ts"

export const run = Effect.fnUntraced(function* ({ connection, ip }: Peer) {
  const msg = yield* readTextLine(connection.reader)
  if (isHttpRequest(msg)) {
    yield* connection.write(HTTP_REFUSAL)
    return yield* new BadMessage({
      reason: `that is HTTP, which this server does not speak: ${msg}`
    })
  }
  yield* logAction("receive_message", "success", { ip, msg })
  yield* connection.write(yield* Effect.fromResult(encodeTextLine(msg)))
})
