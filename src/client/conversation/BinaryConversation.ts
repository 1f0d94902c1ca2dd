/**
 * An agency's conversation in binary packets (wire: "Binary packets"), over one connection. On a
 * new one the book starts over: the server compares what it holds, and stores nothing twice.
 */
import { Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import * as Packets from "../../protocol/binary/BinaryPackets.ts"
import { reconnecting } from "../Reconnect.ts"
import { connect, hearAnswer, Refused, type ServerConnection } from "../ServerConnection.ts"
import { type Conversation, namesWithout } from "./Conversation.ts"
import { type BatchDialect, sendBook } from "./SendBook.ts"

/** The dialect has no words for it. */
const REFUSED =
  "its log says why (an agency that does not take part or is not authorized, a bad bet, " +
  "another book than the one that is held, another client of this agency, or no room)"

const batches = (agency: Agency): BatchDialect => ({
  encode: (batch, last) =>
    Packets.encodeBinaryPacket(new Packets.BinaryPacket({ agency, batch, last })),
  acknowledged: Effect.fnUntraced(function* ({ reader }: ServerConnection) {
    const { stored } = yield* hearAnswer(Packets.readBinaryAnswer(reader))
    if (!stored) return yield* new Refused({ reason: REFUSED, retryable: false })
  })
})

/** Asks on the connection on which the book was sent, and waits for the draw. */
const askWinners = Effect.fnUntraced(function* (
  { reader, write }: ServerConnection,
  agency: Agency
) {
  const question = new Packets.BinaryPacket({ agency, batch: BetBatch.empty, last: true })
  yield* write(yield* Effect.fromResult(Packets.encodeBinaryPacket(question)))
  return (yield* hearAnswer(Packets.readBinaryWinners(reader))).documents
})

/** `packetBytes` bounds a packet as a whole, its size and `continue` included. */
export const make = (agency: Agency, packetBytes: number): Conversation => ({
  check: namesWithout(";", "binary"),
  maxBatchBytes: Packets.maxBatchBytes(agency, packetBytes),
  hold: (book, { server }, progress) =>
    reconnecting(
      agency,
      progress,
      Effect.fnUntraced(function* (watched) {
        const connection = yield* connect(server)
        yield* sendBook(connection, agency, book, batches(agency), watched)
        return yield* askWinners(connection, agency)
      }, Effect.scoped)
    )
})
