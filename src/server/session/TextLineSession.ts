/**
 * The echo of the course's first exercises (docs/wire.md, "Text line"): logs one line, sends it
 * back and closes. An HTTP request gets an HTTP error instead.
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
      reason: `got HTTP, which this server does not support: ${msg}`
    })
  }
  yield* logAction("receive_message", "success", { ip, msg })
  yield* connection.write(yield* Effect.fromResult(encodeTextLine(msg)))
  return undefined
})
