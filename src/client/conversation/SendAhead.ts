/**
 * Sends batches ahead of their answers, as far as a window allows. One fiber sends while another
 * reads the answers, which arrive in order.
 */
import { Effect, type FileSystem, Latch, type Result, Stream } from "effect"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { BookFailure, PositionedBatch } from "../book/Book.ts"
import type { ServerFailure } from "../ServerFailure.ts"

/** How long to wait for a rejection after a write fails. */
export const REJECTION_TIMEOUT = "1 second"

/** Messages that are ready are gathered into one write until it has this many bytes. */
const GATHERED_BYTES = 64 * 1024

interface Sending<Message extends PositionedBatch> {
  readonly messages: Stream.Stream<Message, BookFailure | BadMessage, FileSystem.FileSystem>
  /** Maximum unanswered messages. */
  readonly maxMessages: number
  /** Maximum bytes of unanswered rows. A larger message is sent alone. */
  readonly maxBytes: number
  /** Called in order, for each message that is about to be sent. */
  readonly encode: (message: Message) => Result.Result<Uint8Array, BadMessage>
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** Waits for the answer to a message. Called in the order of sending. */
  readonly answered: (message: Message) => Effect.Effect<void, ServerFailure>
}

/** Sends all messages. Completes when all are answered. */
export const sendAhead = Effect.fnUntraced(function* <Message extends PositionedBatch>(
  sending: Sending<Message>
) {
  const { answered, encode, maxBytes, maxMessages, messages, write } = sending
  const inFlight: Array<Message> = []
  let bytesInFlight = 0
  let areAllSent = false
  const settled = yield* Latch.make()
  const sent = yield* Latch.make()
  const weightOf = ({ batch }: Message) => Math.min(batch.byteLength, maxBytes)
  const hasRoomFor = (message: Message) =>
    inFlight.length < maxMessages && bytesInFlight + weightOf(message) <= maxBytes

  const sendRun = Effect.fnUntraced(function* (run: ReadonlyArray<Message>) {
    let next = 0
    while (next < run.length) {
      const encoded: Array<Uint8Array> = []
      let size = 0
      for (; next < run.length && size < GATHERED_BYTES && hasRoomFor(run[next]!); next++) {
        const message = run[next]!
        const bytes = yield* Effect.fromResult(encode(message))
        encoded.push(bytes)
        size += bytes.length
        inFlight.push(message)
        bytesInFlight += weightOf(message)
      }
      if (encoded.length === 0) {
        settled.closeUnsafe()
        yield* settled.await
      } else {
        sent.openUnsafe()
        yield* write(encoded.length === 1 ? encoded[0]! : Buffer.concat(encoded, size))
      }
    }
  })

  const settleAll = Effect.gen(function* () {
    for (;;) {
      const message = inFlight[0]
      if (message === undefined) {
        if (areAllSent) return
        sent.closeUnsafe()
        yield* sent.await
      } else {
        yield* answered(message)
        inFlight.shift()
        bytesInFlight -= weightOf(message)
        settled.openUnsafe()
      }
    }
  })

  const sendAll = Stream.runForEachArray(messages, sendRun).pipe(
    Effect.andThen(
      Effect.suspend(() => {
        areAllSent = true
        return sent.open
      })
    ),
    // The reading fiber may still receive a rejection.
    Effect.tapErrorTag("ConnectionLost", () => Effect.sleep(REJECTION_TIMEOUT)),
    Effect.andThen(Effect.never)
  )
  yield* Effect.raceFirst(settleAll, sendAll)
})
