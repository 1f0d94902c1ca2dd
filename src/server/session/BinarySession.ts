/** The conversation of an agency in binary packets (wire: "Binary packets"). */
import { Effect, Result } from "effect"
import * as Binary from "../../protocol/binary/BinaryPackets.ts"
import type { Peer } from "../admission/Peer.ts"
import * as BookSession from "./BookSession.ts"
import { madeOnce } from "./TellWinners.ts"

const REFUSED = Result.getOrThrow(Binary.encodeBinaryAnswer(false))

const dialect: BookSession.BookDialect = {
  beginsWithMessage: Binary.beginsWithPacket,
  read: ({ connection: { reader } }, isFinished) =>
    isFinished
      ? Effect.map(Binary.readBinaryQuestion(reader), (agency) => ({ agency }))
      : Binary.readBinaryPacket(reader),
  stored: Result.getOrThrow(Binary.encodeBinaryAnswer(true)),
  // After the last packet the same two bytes would say that the agency has no winners.
  refused: (_reason, isFinished) => (isFinished ? undefined : REFUSED),
  winners: madeOnce(Binary.encodeBinaryWinners)
}

export const run = (peer: Peer) => BookSession.run(peer, dialect)
