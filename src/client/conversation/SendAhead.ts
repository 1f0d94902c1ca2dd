/**
 * Sends batches ahead of their answers, as far as a window allows. One fiber sends while another
 * reads the answers, which arrive in order.
 */
import { type Cause, Effect, type FileSystem, Queue, Semaphore, Stream } from "effect"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { BookFailure, PositionedBatch } from "../book/Book.ts"
import type { ServerFailure } from "../ServerFailure.ts"

/** How long to wait for a rejection after a write fails. */
export const REJECTION_TIMEOUT = "1 second"

interface Sending<Message extends PositionedBatch> {
  readonly messages: Stream.Stream<Message, BookFailure | BadMessage, FileSystem.FileSystem>
  /** Maximum unanswered messages. */
  readonly maxMessages: number
  /** Maximum bytes of unanswered rows. A larger message is sent alone. */
  readonly maxBytes: number
  readonly send: (message: Message) => Effect.Effect<void, BadMessage | ConnectionLost>
  /** Waits for the answer to a message. Called in the order of sending. */
  readonly answered: (message: Message) => Effect.Effect<void, ServerFailure>
}

/** Sends all messages. Completes when all are answered. */
export const sendAhead = Effect.fnUntraced(function* <Message extends PositionedBatch>(
  sending: Sending<Message>
) {
  const { answered, maxBytes, maxMessages, messages, send } = sending
  const places = yield* Semaphore.make(maxMessages)
  const bytes = yield* Semaphore.make(maxBytes)
  const weightOf = ({ batch }: Message) => Math.min(batch.byteLength, maxBytes)
  const inFlight = yield* Queue.unbounded<Message, Cause.Done>()

  const sendOne = Effect.fnUntraced(function* (message: Message) {
    yield* places.take(1)
    yield* bytes.take(weightOf(message))
    yield* Queue.offer(inFlight, message)
    yield* send(message)
  })
  const settle = Effect.fnUntraced(function* (message: Message) {
    yield* answered(message)
    yield* bytes.release(weightOf(message))
    yield* places.release(1)
  })

  const sendAll = Stream.runForEach(messages, sendOne).pipe(
    Effect.andThen(Queue.end(inFlight)),
    // The reading fiber may still receive a rejection.
    Effect.tapErrorTag("ConnectionLost", () => Effect.sleep(REJECTION_TIMEOUT)),
    Effect.andThen(Effect.never)
  )
  const settleAll = Stream.runForEach(Stream.fromQueue(inFlight), settle)
  yield* Effect.raceFirst(settleAll, sendAll)
})
