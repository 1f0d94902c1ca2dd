/**
 * An agency's conversation in binary packets (wire: "Binary packets"), over one connection. On a
 * new one the book starts over: the server compares it with the stored bets, and stores nothing
 * twice.
 */
import { Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import * as Packets from "../../protocol/binary/BinaryPackets.ts"
import { reconnecting } from "../Reconnect.ts"
import { connect } from "../ServerConnection.ts"
import { hearAnswer, Refused } from "../ServerFailure.ts"
import { type Conversation, namesWithout } from "./Conversation.ts"
import { type BatchDialect, sendBook } from "./SendBook.ts"

/** The dialect has no words for it. */
const REFUSED =
  "its log says why (an agency that does not take part or is not authorized, a bad bet, " +
  "another book than the one that is held, another client of this agency, or no room)"

/** `packetBytes` bounds a packet as a whole, its size and `continue` included. */
export const make = (agency: Agency, packetBytes: number): Conversation => {
  const encode: BatchDialect["encode"] = (batch, last) =>
    Packets.encodeBinaryPacket(new Packets.BinaryPacket({ agency, batch, last }))

  const acknowledged: BatchDialect["acknowledged"] = Effect.fnUntraced(function* ({ reader }) {
    const isStored = yield* hearAnswer(Packets.readBinaryAnswer(reader))
    if (!isStored) return yield* new Refused({ reason: REFUSED, retryable: false })
  })

  return {
    check: namesWithout(";", "binary"),
    maxBatchBytes: Packets.maxBatchBytes(agency, packetBytes),
    hold: (book, { server }, progress) =>
      reconnecting(
        agency,
        progress,
        Effect.gen(function* () {
          const connection = yield* connect(server)
          yield* sendBook(connection, agency, book, { encode, acknowledged }, progress)
          // The question for the winners is a packet without bets.
          yield* connection.write(yield* Effect.fromResult(encode(BetBatch.empty, true)))
          return yield* hearAnswer(Packets.readBinaryWinners(connection.reader))
        })
      )
  }
}
