/** The conversation of an agency in binary packets (wire: "Binary packets"). */
import { Effect, Result } from "effect"
import {
  beginsWithPacket,
  encodeBinaryAnswer,
  encodeBinaryWinners,
  readBinaryPacket,
  readBinaryQuestion
} from "../../protocol/binary/BinaryPackets.ts"
import type { Peer } from "../admission/Peer.ts"
import type { Bets, BookDialect, Question } from "./BookSession.ts"
import * as BookSession from "./BookSession.ts"
import { madeOnce } from "./TellWinners.ts"

const REFUSED = Result.getOrThrow(encodeBinaryAnswer(false))

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
  stored: Result.getOrThrow(encodeBinaryAnswer(true)),
  // After the last packet the same two bytes would say that the agency has no winners.
  refused: (_reason, finished) => (finished ? undefined : REFUSED),
  winners: madeOnce(encodeBinaryWinners)
}

export const run = (peer: Peer) => BookSession.run(peer, dialect)
