/**
 * An agency's conversation in binary packets (docs/wire.md, "Binary packets"), over one connection.
 * After a reconnection the book starts over: the server compares it with the stored bets and stores
 * nothing twice.
 */
import { Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import * as Packets from "../../protocol/binary/BinaryPackets.ts"
import { reconnecting } from "../Reconnect.ts"
import { connect } from "../ServerConnection.ts"
import { Refused, readAnswer } from "../ServerFailure.ts"
import { type Conversation, namesWithout } from "./Conversation.ts"
import { type BatchDialect, sendBook } from "./SendBook.ts"

/** The dialect cannot give a reason. */
const REFUSED =
  "its log has the reason (the agency does not take part, was excluded or is not authorized, " +
  "a bet is invalid, the stored book is different, the agency has another client, " +
  "or the server has no room)"

/** `packetBytes` limits a whole packet, including its size and `continue`. */
export const make = (agency: Agency, packetBytes: number): Conversation => {
  const encode: BatchDialect["encode"] = (batch, last) =>
    Packets.encodeBinaryPacket({ agency, batch, last })

  const acknowledged: BatchDialect["acknowledged"] = Effect.fnUntraced(function* ({ reader }) {
    const isStored = yield* readAnswer(Packets.readBinaryAnswer(reader))
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
          // A packet without bets asks for the winners.
          yield* connection.write(yield* Effect.fromResult(encode(BetBatch.empty, true)))
          return yield* readAnswer(Packets.readBinaryWinners(connection.reader))
        })
      )
  }
}
