/** The conversation of an agency in binary packets (wire: "Binary packets"). */
import { Effect, Result } from "effect"
import * as Binary from "../../protocol/binary/BinaryPackets.ts"
import type { Peer } from "../admission/Peer.ts"
import * as CourseSession from "./CourseSession.ts"
import { madeOnce } from "./TellWinners.ts"

const REFUSED = Result.getOrThrow(Binary.encodeBinaryAnswer(false))

const dialect: CourseSession.BookDialect = {
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

export const run = (peer: Peer) => CourseSession.run(peer, dialect)
