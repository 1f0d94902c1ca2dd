/**
 * Sends bets in the native dialect: many frames ahead of their acknowledgements, as far as the
 * server's window lets it (wire: "Native").
 */
import { Effect, type FileSystem, Stream } from "effect"
import { LF } from "../../domain/BetRow.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import { maxRowBytes } from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import { type BookFailure, endOf, type PositionedBatch } from "../book/Book.ts"
import { BadAnswer } from "../ServerFailure.ts"
import type { NativeServer } from "./NativeServer.ts"
import { sendAhead } from "./SendAhead.ts"

/**
 * Most bytes of rows without an acknowledgement, whatever the window: enough for a fast line with
 * a round trip of a second, and a small part of any memory. One larger frame may go alone.
 */
export const MAX_BYTES_IN_FLIGHT = 2 * 1024 * 1024

const countRows = (rows: Uint8Array): number => {
  let count = 0
  for (let end = rows.indexOf(LF); end !== -1; end = rows.indexOf(LF, end + 1)) count++
  return count
}

/** Cuts a batch at row borders into pieces of at most `maxBytes`; fails if a row has more. */
const cut = Effect.fnUntraced(function* (whole: PositionedBatch, maxBytes: number) {
  const pieces: Array<PositionedBatch> = []
  let { batch, position } = whole
  while (batch.byteLength > maxBytes) {
    const end = maxBytes > 0 ? batch.bytes.lastIndexOf(LF, maxBytes - 1) + 1 : 0
    if (end === 0) {
      const bet = `bet ${position + 1}`
      const reason = `the server takes ${maxBytes} bytes of bets a frame, ${bet} takes more`
      return yield* new BadMessage({ reason })
    }
    const count = countRows(batch.bytes.subarray(0, end))
    pieces.push({ position, batch: batch.take(count) })
    position += count
    batch = batch.drop(count)
  }
  return [...pieces, { position, batch }]
})

/**
 * Sends the bets from `start` on, without a gap, within the limits of a welcome; done when all of
 * them are acknowledged. Each frame that was sent is told once it is.
 */
export const upload = Effect.fn("NativeUpload.upload")(function* (
  server: NativeServer,
  { maxFrame, window }: Native.Welcome,
  start: number,
  bets: Stream.Stream<PositionedBatch, BookFailure, FileSystem.FileSystem>,
  onAcknowledged: (frame: PositionedBatch) => Effect.Effect<void>
) {
  let sent = start
  let acknowledged = start

  const hearAcknowledgement = Effect.gen(function* () {
    const { bets: now } = yield* server.hearOnly(Native.Ack)
    if (now < acknowledged || now > sent) {
      const expected = `from ${acknowledged} to ${sent}`
      const reason = `${now} bets were acknowledged where ${expected} could be`
      return yield* new BadAnswer({ reason })
    }
    acknowledged = now
  })

  const maxBytes = maxRowBytes(Math.min(maxFrame, MAX_FRAME_BYTES))
  yield* sendAhead({
    messages: bets.pipe(
      Stream.mapEffect((batch) => cut(batch, maxBytes)),
      Stream.flattenIterable
    ),
    maxMessages: window,
    maxBytes: MAX_BYTES_IN_FLIGHT,
    send: (frame) =>
      Effect.suspend(() => {
        sent = endOf(frame)
        return server.sayUnheard(new Native.Bets(frame))
      }),
    answered: Effect.fnUntraced(function* (frame) {
      while (acknowledged < endOf(frame)) yield* hearAcknowledgement
      yield* onAcknowledged(frame)
    })
  })
})
