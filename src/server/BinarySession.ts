/** The conversation of an agency in binary packets (wire: "Binary packets"). */
import { Effect } from "effect"
import {
  BinaryWinners,
  beginsWithPacket,
  encodeBinaryWinners,
  readBinaryPacket
} from "../protocol/BinaryPackets.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import type { Bets, BookDialect, Question } from "./BookSession.ts"
import * as BookSession from "./BookSession.ts"
import type { Peer } from "./Peer.ts"

const dialect: BookDialect = {
  beginsWithMessage: beginsWithPacket,
  read: (peer, finished) =>
    Effect.flatMap(
      readBinaryPacket(peer.connection.reader),
      ({ agency, batch, last }): Effect.Effect<Bets | Question, BadMessage> => {
        if (!finished) return Effect.succeed({ _tag: "Bets", agency, batch, last })
        if (batch.count === 0) return Effect.succeed({ _tag: "Question", agency })
        const reason = "expected the question after the last packet, got bets"
        return Effect.fail(new BadMessage({ reason, agency, count: batch.count }))
      }
    ),
  stored: Uint8Array.of(0, 1),
  // After the last packet the same two bytes would say that the agency has no winners.
  refused: (_reason, finished) => (finished ? undefined : Uint8Array.of(0, 0)),
  winners: (documents) => encodeBinaryWinners(new BinaryWinners({ documents }))
}

export const run = (peer: Peer) => BookSession.run(peer, dialect)
