/**
 * Sends batches ahead of their answers, as far as a window lets it: one fiber sends, while another
 * hears the answers, which come in order.
 */
import { type Cause, Effect, type FileSystem, Queue, Semaphore, Stream } from "effect"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { PositionedBatch } from "../book/Book.ts"

/** How long a server that takes nothing more may still say why. */
export const LAST_WORD_TIMEOUT = "1 second"

export interface Sending<Message extends PositionedBatch, E1, E2, E3> {
  readonly messages: Stream.Stream<Message, E1, FileSystem.FileSystem>
  /** Most messages without an answer. */
  readonly maxMessages: number
  /** Most bytes of rows without an answer; one larger message may go alone. */
  readonly maxBytes: number
  readonly send: (message: Message) => Effect.Effect<void, E2>
  /** Waits for the answer to a message; called in the order in which they are sent. */
  readonly answered: (message: Message) => Effect.Effect<void, E3>
}

/** Sends all messages; done when all of them are answered. */
export const sendAhead = Effect.fnUntraced(function* <Message extends PositionedBatch, E1, E2, E3>(
  sending: Sending<Message, E1, E2 | ConnectionLost, E3>
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
    // The answers may yet say why the server takes nothing more.
    Effect.tapErrorTag("ConnectionLost", () => Effect.sleep(LAST_WORD_TIMEOUT)),
    Effect.andThen(Effect.never)
  )
  const settleAll = Stream.runForEach(Stream.fromQueue(inFlight), settle)
  yield* Effect.raceFirst(settleAll, sendAll)
})
