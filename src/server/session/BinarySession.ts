/** The session of a client that sends binary packets (docs/wire.md, "Binary packets"). */
import { Effect, Result } from "effect"
import * as Binary from "../../protocol/binary/BinaryPackets.ts"
import type { Peer } from "../admission/Peer.ts"
import * as CourseSession from "./CourseSession.ts"
import { encodeOnce } from "./TellWinners.ts"

const REFUSED = Result.getOrThrow(Binary.encodeBinaryAnswer(false))

const dialect: CourseSession.BookDialect = {
  messageEnd: Binary.packetEnd,
  decode: Binary.decodeBinaryPacket,
  read: ({ connection: { reader } }, isFinished) =>
    isFinished
      ? Effect.map(Binary.readBinaryQuestion(reader), (agency) => ({ agency }))
      : Binary.readBinaryPacket(reader),
  stored: Result.getOrThrow(Binary.encodeBinaryAnswer(true)),
  // After the last packet the bytes of a refusal would mean that the agency has no winners.
  refused: (_reason, isFinished) => (isFinished ? undefined : REFUSED),
  winners: encodeOnce(({ documents }) => Binary.encodeBinaryWinners(documents))
}

export const run = (peer: Peer) => CourseSession.run(peer, dialect)
