/** The echo of the first exercises (wire: "Text line"): one line, logged, sent back, closed. */
import { Effect } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import { encodeTextLine, readTextLine } from "../protocol/TextLine.ts"
import type { Peer } from "./Peer.ts"

export const run = Effect.fnUntraced(function* ({ connection, ip }: Peer) {
  const msg = yield* readTextLine(connection.reader)
  yield* logAction("receive_message", "success", { ip, msg })
  yield* connection.write(yield* Effect.fromResult(encodeTextLine(msg)))
})
