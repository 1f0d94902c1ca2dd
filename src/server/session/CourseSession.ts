/**
 * The session of the course's clients, in binary packets or JSON. The client sends its book from
 * the start, and each batch is acknowledged once it is stored. Then the client requests its winners
 * and gets them at the draw. Batches that have already arrived are stored together.
 */
import { Effect, Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { authorize } from "../admission/Identity.ts"
import { discardInput, forgetRead, type Peer } from "../admission/Peer.ts"
import { awaitMessage, readInTime, type TooSlow } from "../admission/Timeouts.ts"
import { Lottery } from "../lottery/Lottery.ts"
import type { StoredBatch } from "../lottery/Upload.ts"
import { type Conversation, forgetUpload, logStored, runConversation } from "./Conversation.ts"
import { type Refusal, refusing } from "./Refusal.ts"
import type { EncodeWinners } from "./TellWinners.ts"

/** A batch of an agency's book; `last` finishes the book. */
export interface Bets {
  readonly agency: Agency
  readonly batch: BetBatch
  readonly last: boolean
}

/** An agency's request for its winners. */
interface Question {
  readonly agency: Agency
  readonly batch?: undefined
}

export type ReadError = BadMessage | TooSlow | EndOfStream | ConnectionLost

/** How a dialect encodes this session. */
export interface BookDialect {
  /** Reads one message; `isFinished` says whether this connection has finished its book. */
  readonly read: (peer: Peer, isFinished: boolean) => Effect.Effect<Bets | Question, ReadError>
  /** Returns the end of the message that bytes begin with, if it is whole and cheap to decode. */
  readonly messageEnd: (bytes: Uint8Array) => number | undefined
  /** Decodes a message sent before the book is finished. */
  readonly decode: (message: Uint8Array) => Result.Result<Bets | Question, BadMessage>
  /** Acknowledges a batch. */
  readonly stored: Uint8Array
  /** Encodes a refusal; undefined if the dialect has no message for it. */
  readonly refused: (reason: string, isFinished: boolean) => Uint8Array | undefined
  readonly winners: EncodeWinners
}

/** A commit takes no further message once it has this many bytes of bets. */
const MAX_TOGETHER_BYTES = 1024 * 1024
/** Maximum messages per commit: an empty one has a few bytes on the wire, hundreds in memory. */
const MAX_TOGETHER = 256

/** Runs the session; the connection ends with it. */
export const run = (peer: Peer, dialect: BookDialect) =>
  runConversation(
    peer,
    (conversation) => converse(conversation, dialect),
    (conversation, refusal) => refuse(conversation, dialect, refusal)
  )

const converse = Effect.fnUntraced(function* (conversation: Conversation, dialect: BookDialect) {
  const { peer } = conversation
  let next = yield* readMessage(conversation, dialect)
  while (next.batch !== undefined) {
    const messages = yield* takeWaiting(peer, dialect, next)
    yield* storeTogether(conversation, dialect, messages)
    next = yield* readMessage(conversation, dialect)
  }
  conversation.isAsking = true
  yield* takeQuestion(conversation, next.agency)
  forgetUpload(conversation)
  return { agency: next.agency, news: undefined, winners: dialect.winners, closes: false }
})

const readMessage = Effect.fnUntraced(function* (
  { isFinished, peer }: Conversation,
  dialect: BookDialect
) {
  const { reader } = peer.connection
  yield* forgetRead(peer)
  // A peer that has finished its book waits for the draw and may stay silent.
  if (!isFinished) yield* awaitMessage(peer)
  else if (reader.buffered().length === 0) yield* reader.fill
  const end = isFinished ? undefined : dialect.messageEnd(reader.buffered())
  if (end === undefined) return yield* readInTime(peer, dialect.read(peer, isFinished))
  return yield* Effect.fromResult(dialect.decode(yield* reader.take(end)))
})

/**
 * Takes the buffered bets that can be stored with the first message, and returns all of them. What
 * follows them is read as the next message, even if it is invalid.
 */
const takeWaiting = Effect.fnUntraced(function* (peer: Peer, dialect: BookDialect, first: Bets) {
  const { reader } = peer.connection
  const waiting = reader.buffered()
  const messages = [first]
  let { last } = first
  let bytes = first.batch.byteLength
  let taken = 0
  while (!last && bytes < MAX_TOGETHER_BYTES && messages.length < MAX_TOGETHER) {
    const rest = waiting.subarray(taken)
    const end = dialect.messageEnd(rest)
    if (end === undefined) break
    const next = dialect.decode(rest.subarray(0, end))
    if (Result.isFailure(next) || !isMoreOf(first, next.success)) break
    messages.push(next.success)
    bytes += next.success.batch.byteLength
    last = next.success.last
    taken += end
  }
  yield* reader.take(taken)
  return messages
})

const isMoreOf = (first: Bets, next: Bets | Question): next is Bets =>
  next.batch !== undefined && next.agency === first.agency

/** Reasons that concern one message: the messages before it may be valid. */
const OF_ONE_MESSAGE = new Set(["BookDiffers", "BookMismatch", "AlreadyFinished", "Conflict"])

/** Stores messages in one commit. If one is refused, stores the ones before it one by one. */
const storeTogether = (
  conversation: Conversation,
  dialect: BookDialect,
  messages: ReadonlyArray<Bets>
) => {
  const store = (together: ReadonlyArray<Bets>) => {
    const { count } = together[0]!.batch
    conversation.storingCount = count
    return refusing(storeBets(conversation, dialect, together), count)
  }
  return Effect.catchTag(store(messages), "Refusal", (refusal) =>
    messages.length > 1 && OF_ONE_MESSAGE.has(refusal.reason._tag)
      ? Effect.forEach(messages, (message) => store([message]), { discard: true })
      : Effect.fail(refusal)
  )
}

const storeBets = Effect.fnUntraced(function* (
  conversation: Conversation,
  dialect: BookDialect,
  messages: ReadonlyArray<Bets>
) {
  const { bookConnection, peer } = conversation
  const { agency } = messages[0]!
  if (conversation.isFinished) {
    return yield* new BadMessage({ reason: "no bets can follow the last batch", agency })
  }
  yield* admit(conversation, agency)
  conversation.upload ??= yield* (yield* Lottery).upload(agency, bookConnection)
  const batch = BetBatch.concat(messages.map((message) => message.batch))
  const { last } = messages.at(-1)!
  const answer = Effect.fnUntraced(function* (stored: StoredBatch) {
    yield* logStored(agency, batch, stored)
    yield* peer.accepted
    conversation.isFinished = last
    conversation.storingCount = undefined
    yield* peer.connection.write(Buffer.concat(Array(messages.length).fill(dialect.stored)))
  })
  yield* conversation.upload.storeFromStart(batch, last, answer)
})

const takeQuestion = Effect.fnUntraced(function* (conversation: Conversation, agency: Agency) {
  yield* admit(conversation, agency)
  if (conversation.upload === undefined) {
    yield* (yield* Lottery).watch(agency, conversation.bookConnection)
    yield* conversation.peer.accepted
  } else if (!conversation.isFinished) {
    const reason = "expected the last batch before the request for winners"
    return yield* new BadMessage({ reason, agency })
  }
})

/** Checks that the peer may act for an agency. A connection belongs to a single agency. */
const admit = Effect.fnUntraced(function* ({ peer, upload }: Conversation, agency: Agency) {
  if (agency === upload?.agency) return
  yield* (yield* Lottery).admit(agency)
  yield* authorize(peer, agency)
  if (upload === undefined) return yield* Effect.annotateCurrentSpan("lottery.agency", agency)
  const own = `this connection belongs to agency ${upload.agency}`
  return yield* new BadMessage({ reason: `${own}, got a message for agency ${agency}`, agency })
})

/** Reasons that an excluded agency can get: if the store fails, nobody knows whether it is one. */
const MAY_BE_EXCLUDED = new Set(["Excluded", "StoreUnavailable", "StoreBroken"])

/**
 * Sends the refusal if the dialect has a message for it. Without one, a peer that was superseded or
 * whose book was discarded stays connected until the draw: it would mistake a close for a broken
 * connection and send its book again.
 */
const refuse = Effect.fnUntraced(function* (
  { isFinished, peer, storingCount }: Conversation,
  dialect: BookDialect,
  { count = storingCount, reason }: Refusal
) {
  // A message without bets may be a request for winners, and a refusal would say that there are
  // none. A peer can also be excluded while its message is being stored.
  const mayBeQuestion = count === 0 && MAY_BE_EXCLUDED.has(reason._tag)
  const answer = dialect.refused(reason.message, isFinished || mayBeQuestion)
  if (answer !== undefined) return yield* peer.connection.write(answer)
  if (reason._tag !== "Superseded" && reason._tag !== "Discarded") return
  const drawn = Effect.ignore((yield* Lottery).winnersOf(reason.agency))
  yield* Effect.raceFirst(drawn, Effect.raceFirst(discardInput(peer), peer.connection.lost))
})
