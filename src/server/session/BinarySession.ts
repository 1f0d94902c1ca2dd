/** The conversation of an agency in binary packets (wire: "Binary packets"). */
import { Effect } from "effect"
import {
  BinaryWinners,
  beginsWithPacket,
  encodeBinaryWinners,
  readBinaryPacket,
  readBinaryQuestion
} from "../../protocol/binary/BinaryPackets.ts"
import type { Peer } from "../admission/Peer.ts"
import type { Bets, BookDialect, Question } from "./BookSession.ts"
import * as BookSession from "./BookSession.ts"
import { madeOnce } from "./TellWinners.ts"

const dialect: BookDialect = {
  beginsWithMessage: beginsWithPacket,
  read: ({ connection: { reader } }, finished) =>
    finished
      ? Effect.map(readBinaryQuestion(reader), (agency): Bets | Question => ({
          _tag: "Question",
          agency
        }))
      : Effect.map(readBinaryPacket(reader), ({ agency, batch, last }): Bets | Question => ({
          _tag: "Bets",
          agency,
          batch,
          last
        })),
  stored: Uint8Array.of(0, 1),
  // After the last packet the same two bytes would say that the agency has no winners.
  refused: (_reason, finished) => (finished ? undefined : Uint8Array.of(0, 0)),
  winners: madeOnce((documents) => encodeBinaryWinners(new BinaryWinners({ documents })))
}

export const run = (peer: Peer) => BookSession.run(peer, dialect)
