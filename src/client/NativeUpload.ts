/**
 * Sends bets in the native dialect: many frames ahead of their acknowledgements, as far as the
 * server's window lets it (wire: "Native"). The frames go out on one fiber, while another one hears
 * the acknowledgements.
 */
import { type Cause, Effect, Queue, Semaphore, Stream } from "effect"
import { BetBatch } from "../domain/BetBatch.ts"
import { LF } from "../domain/BetRow.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import { MAX_FRAME_BYTES } from "../protocol/Limits.ts"
import { maxRowBytes } from "../protocol/NativeFrames.ts"
import * as Native from "../protocol/NativeMessages.ts"
import type { BookPass, PositionedBatch } from "./BookPass.ts"
import { LAST_WORD_TIMEOUT, type NativeServer } from "./NativeServer.ts"
import { BadAnswer } from "./ServerConnection.ts"

/**
 * Most bytes of rows without an acknowledgement, whatever the window: enough for a fast line with
 * a round trip of a second, and a small part of any memory. One larger frame may go alone.
 */
export const MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024

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
  const frames = yield* Semaphore.make(limits.window)
  const bytes = yield* Semaphore.make(MAX_BYTES_IN_FLIGHT)
  const weightOf = ({ batch }: PositionedBatch) => Math.min(batch.bytes.length, MAX_BYTES_IN_FLIGHT)
  const inFlight = yield* Queue.unbounded<PositionedBatch, Cause.Done>()
  let sent = start
  let acknowledged = start

  const send = Effect.fnUntraced(function* (frame: PositionedBatch) {
    yield* frames.take(1)
    yield* bytes.take(weightOf(frame))
    sent = endOf(frame)
    yield* Queue.offer(inFlight, frame)
    yield* server.sayUnheard(new Native.Bets(frame))
  })

  const hearAcknowledgement = Effect.gen(function* () {
    const { bets: now } = yield* server.hearOnly("Ack")
    if (now < acknowledged || now > sent) {
      const expected = `from ${acknowledged} to ${sent}`
      const reason = `${now} bets were acknowledged where ${expected} could be`
      return yield* new BadAnswer({ reason })
    }
    acknowledged = now
  })

  const settle = Effect.fnUntraced(function* (frame: PositionedBatch) {
    while (acknowledged < endOf(frame)) yield* hearAcknowledgement
    yield* bytes.release(weightOf(frame))
    yield* frames.release(1)
    yield* onAcknowledged(frame)
  })

  const sendAll = bets.pipe(
    Stream.mapEffect((batch) =>
      cut(batch, maxRowBytes(Math.min(limits.maxFrame, MAX_FRAME_BYTES)))
    ),
    Stream.flattenIterable,
    Stream.runForEach(send),
    Effect.andThen(Queue.end(inFlight)),
    // Whoever hears the answers may be told yet why the server takes nothing more.
    Effect.tapErrorTag("ConnectionLost", () => Effect.sleep(LAST_WORD_TIMEOUT)),
    Effect.andThen(Effect.never)
  )
  const settleAll = Stream.runForEach(Stream.fromQueue(inFlight), settle)
  yield* Effect.raceFirst(settleAll, sendAll)
})
