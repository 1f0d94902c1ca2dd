/**
 * Sends bets in the native dialect: many frames ahead of their acknowledgements, as far as the
 * server's window lets it (wire: "Native").
 */
import { Effect, Stream } from "effect"
import { BetBatch } from "../../domain/BetBatch.ts"
import { LF } from "../../domain/BetRow.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import { maxRowBytes } from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import type { BookPass, PositionedBatch } from "../book/BookPass.ts"
import { BadAnswer } from "../ServerConnection.ts"
import type { NativeServer } from "./NativeServer.ts"
import { sendAhead } from "./SendAhead.ts"

/**
 * Most bytes of rows without an acknowledgement, whatever the window: enough for a fast line with
 * a round trip of a second, and a small part of any memory. One larger frame may go alone.
 */
export const MAX_BYTES_IN_FLIGHT = 2 * 1024 * 1024

/** What of a Welcome decides on how bets are sent. */
export type FrameLimits = Pick<Native.Welcome, "window" | "maxFrame">

export interface UploadOptions {
  readonly limits: FrameLimits
  /** The position of the first bet that is sent. */
  readonly start: number
  /** What is sent, in order, without a gap. */
  readonly bets: BookPass<PositionedBatch>
  /** Called for each frame that was sent, once it is acknowledged. */
  readonly onAcknowledged: (frame: PositionedBatch) => Effect.Effect<void>
}

const countRows = (rows: Uint8Array): number => {
  let count = 0
  for (let end = rows.indexOf(LF); end !== -1; end = rows.indexOf(LF, end + 1)) count++
  return count
}

/** Cuts a batch at row borders into pieces of at most `maxBytes`; fails where a row has more. */
const cut = Effect.fnUntraced(function* ({ batch, position }: PositionedBatch, maxBytes: number) {
  const pieces: Array<PositionedBatch> = []
  let at = position
  let rows = batch.bytes
  while (rows.length > maxBytes) {
    const end = maxBytes > 0 ? rows.lastIndexOf(LF, maxBytes - 1) + 1 : 0
    if (end === 0) {
      const reason = `the server takes ${maxBytes} bytes of bets a frame, bet ${at + 1} takes more`
      return yield* new BadMessage({ reason })
    }
    const head = rows.subarray(0, end)
    pieces.push({ position: at, batch: new BetBatch(head, countRows(head)) })
    at += countRows(head)
    rows = rows.subarray(end)
  }
  pieces.push({ position: at, batch: new BetBatch(rows, position + batch.count - at) })
  return pieces
})

const endOf = ({ batch, position }: PositionedBatch): number => position + batch.count

/** Sends bets; done when all of them are acknowledged. */
export const upload = Effect.fn("NativeUpload.upload")(function* (
  server: NativeServer,
  { bets, limits, onAcknowledged, start }: UploadOptions
) {
  let sent = start
  let acknowledged = start

  const hearAcknowledgement = Effect.gen(function* () {
    const { bets: now } = yield* server.hearOnly("Ack")
    if (now < acknowledged || now > sent) {
      const expected = `from ${acknowledged} to ${sent}`
      const reason = `${now} bets were acknowledged where ${expected} could be`
      return yield* new BadAnswer({ reason })
    }
    acknowledged = now
  })

  yield* sendAhead({
    messages: bets.pipe(
      Stream.mapEffect((batch) =>
        cut(batch, maxRowBytes(Math.min(limits.maxFrame, MAX_FRAME_BYTES)))
      ),
      Stream.flattenIterable
    ),
    sizeOf: ({ batch }) => batch.byteLength,
    maxMessages: limits.window,
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
