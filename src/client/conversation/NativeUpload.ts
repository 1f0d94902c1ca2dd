/** Sends bets in the native dialect, within the server's window (docs/wire.md, "Native"). */
import { Array as Arr, Effect, type FileSystem, Stream } from "effect"
import { LF } from "../../domain/BetRow.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import { encodeBets, maxRowBytes } from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import { type BookFailure, endOf, type PositionedBatch } from "../book/Book.ts"
import { BadAnswer, type ServerFailure } from "../ServerFailure.ts"
import type { NativeServer } from "./NativeServer.ts"
import { sendAhead } from "./SendAhead.ts"

/**
 * Maximum bytes of unacknowledged rows, whatever the window: enough for 2 MiB/s with a round trip
 * of one second. A larger frame is sent alone.
 */
export const MAX_BYTES_IN_FLIGHT = 2 * 1024 * 1024

const countRows = (rows: Uint8Array): number => {
  let count = 0
  for (let end = rows.indexOf(LF); end !== -1; end = rows.indexOf(LF, end + 1)) count++
  return count
}

/** Splits a batch between rows into pieces of at most `maxBytes`. Fails if a row is larger. */
const cut = Effect.fnUntraced(function* (whole: PositionedBatch, maxBytes: number) {
  const pieces: Array<PositionedBatch> = []
  let { batch, position } = whole
  while (batch.byteLength > maxBytes) {
    const end = maxBytes > 0 ? batch.bytes.lastIndexOf(LF, maxBytes - 1) + 1 : 0
    if (end === 0) {
      const bet = `bet ${position + 1}`
      const reason = `the server accepts ${maxBytes} bytes of bets per frame, ${bet} is larger`
      return yield* new BadMessage({ reason })
    }
    const count = countRows(batch.bytes.subarray(0, end))
    pieces.push({ position, batch: batch.take(count) })
    position += count
    batch = batch.drop(count)
  }
  return [...pieces, { position, batch }]
})

/** Cuts the batches that are larger than `maxBytes`. */
const cutLarge = (batches: ReadonlyArray<PositionedBatch>, maxBytes: number) =>
  batches.every(({ batch }) => batch.byteLength <= maxBytes)
    ? Effect.succeed(batches)
    : Effect.map(
        Effect.forEach(batches, (batch) => cut(batch, maxBytes)),
        (pieces) => pieces.flat()
      )

/**
 * Sends bets, which begin at position `start` and have no gap, within the welcome's limits. Calls
 * `onAcknowledged` for each frame. Completes when all are acknowledged.
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

  const receiveAcknowledgement = Effect.gen(function* () {
    const { bets: now } = yield* server.receiveOnly(Native.Ack)
    if (now < acknowledged || now > sent) {
      const reason = `it acknowledged ${now} bets, expected ${acknowledged} to ${sent}`
      return yield* new BadAnswer({ reason })
    }
    acknowledged = now
  })

  const acknowledgedUpTo = (end: number): Effect.Effect<void, ServerFailure> =>
    Effect.suspend(() =>
      acknowledged >= end
        ? Effect.void
        : Effect.andThen(receiveAcknowledgement, acknowledgedUpTo(end))
    )

  const maxBytes = maxRowBytes(Math.min(maxFrame, MAX_FRAME_BYTES))
  yield* sendAhead({
    messages: bets.pipe(
      Stream.mapArrayEffect((batches) => Effect.map(cutLarge(batches, maxBytes), Arr.of)),
      Stream.flattenIterable
    ),
    maxMessages: window,
    maxBytes: MAX_BYTES_IN_FLIGHT,
    encode: (frame) => {
      sent = endOf(frame)
      return encodeBets(frame)
    },
    write: server.write,
    answered: (frame) => Effect.flatMap(acknowledgedUpTo(endOf(frame)), () => onAcknowledged(frame))
  })
})
