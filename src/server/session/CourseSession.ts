/**
 * The conversation that both dialects of the course's systems have, binary packets and JSON: an
 * agency's book from its start,
 * batch by batch, each acknowledged once stored; then the question, and at the draw the agency's
 * own winners. Batches that have come already are stored together. How it is said is the dialect's.
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
import { type Conversation, logStored, runConversation } from "./Conversation.ts"
import { type Reason, refusing } from "./Refusal.ts"
import { type EncodeWinners, tellWinners } from "./TellWinners.ts"

/** Some bets of an agency; `last` says that its book is complete with them. */
export interface Bets {
  readonly agency: Agency
  readonly batch: BetBatch
  readonly last: boolean
}

/** An agency asks for its winners. */
interface Question {
  readonly agency: Agency
  readonly batch?: undefined
}

export type ReadError = BadMessage | TooSlow | EndOfStream | ConnectionLost

/** The words of a dialect for this conversation. */
export interface BookDialect {
  /** Reads one message; `isFinished` says that the last batch of this connection was stored. */
  readonly read: (peer: Peer, isFinished: boolean) => Effect.Effect<Bets | Question, ReadError>
  /** Whether bytes begin with a whole message that is cheap to read. */
  readonly beginsWithMessage: (bytes: Uint8Array) => boolean
  /** The acknowledgement of a batch. */
  readonly stored: Uint8Array
  /** Says why a message was refused, if the dialect can. */
  readonly refused: (reason: string, isFinished: boolean) => Uint8Array | undefined
  readonly winners: EncodeWinners
}

/** No further message is stored together with this many bytes of bets, or this many messages. */
const MAX_TOGETHER_BYTES = 1024 * 1024
/** A message without bets has a few bytes as it comes, and some hundred here. */
const MAX_TOGETHER = 256

/** Holds the conversation to its end, which is also the connection's. */
export const run = (peer: Peer, dialect: BookDialect) =>
  runConversation(
    peer,
    (conversation) => converse(conversation, dialect),
    (conversation, reason) => refuse(conversation, dialect, reason)
  )

const converse = Effect.fnUntraced(function* (conversation: Conversation, dialect: BookDialect) {
  const { peer } = conversation
  let next = yield* readMessage(conversation, dialect)
  while (next.batch !== undefined) {
    const { behind, messages } = yield* readWaiting(peer, dialect, next)
    yield* storeTogether(conversation, dialect, messages)
    next = yield* behind === undefined
      ? readMessage(conversation, dialect)
      : Effect.fromResult(behind)
  }
  conversation.isAsking = true
  yield* takeQuestion(conversation, next.agency)
  yield* tellWinners(peer, next.agency, {
    meanwhile: Effect.never,
    winners: dialect.winners,
    closes: false
  })
})

const readMessage = Effect.fnUntraced(function* (
  { isFinished, peer }: Conversation,
  dialect: BookDialect
) {
  const { reader } = peer.connection
  yield* forgetRead(peer)
  // Once its book is complete the peer waits for the draw, and need not say anything.
  if (!isFinished) yield* awaitMessage(peer)
  else if (reader.buffered().length === 0) yield* reader.fill
  return yield* readInTime(peer, dialect.read(peer, isFinished))
})

/** Reads the bets that came right behind the first; `behind` is what came next and is none. */
const readWaiting = Effect.fnUntraced(function* (peer: Peer, dialect: BookDialect, first: Bets) {
  const { reader } = peer.connection
  const messages = [first]
  let { last } = first
  let bytes = first.batch.byteLength
  let behind: Result.Result<Bets | Question, ReadError> | undefined
  const hasRoom = () => bytes < MAX_TOGETHER_BYTES && messages.length < MAX_TOGETHER
  while (!last && hasRoom() && dialect.beginsWithMessage(reader.buffered())) {
    const next = yield* Effect.result(dialect.read(peer, false))
    if (Result.isFailure(next) || !isMoreOf(first, next.success)) {
      behind = next
      break
    }
    messages.push(next.success)
    bytes += next.success.batch.byteLength
    last = next.success.last
  }
  return { messages, behind }
})

const isMoreOf = (first: Bets, next: Bets | Question): next is Bets =>
  next.batch !== undefined && next.agency === first.agency

/** Reasons that concern one of several messages: those before it may be good. */
const OF_ONE_MESSAGE = new Set(["BookDiffers", "BookMismatch", "AlreadyFinished", "Conflict"])

/** Stores messages in one commit; if one is refused, stores those before it one by one. */
const storeTogether = (
  conversation: Conversation,
  dialect: BookDialect,
  messages: ReadonlyArray<Bets>
) => {
  const store = (together: ReadonlyArray<Bets>) =>
    refusing(storeBets(conversation, dialect, together), together[0]!.batch.count)
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
  const { atBook, peer } = conversation
  const { agency } = messages[0]!
  if (conversation.isFinished) {
    return yield* new BadMessage({ reason: "no bet can follow the last batch", agency })
  }
  yield* admit(conversation, agency)
  conversation.upload ??= yield* (yield* Lottery).upload(agency, atBook)
  const batch = BetBatch.concat(messages.map((message) => message.batch))
  const { last } = messages.at(-1)!
  const answer = Effect.fnUntraced(function* (stored: StoredBatch) {
    yield* logStored(agency, batch, stored)
    yield* peer.accepted
    conversation.isFinished = last
    yield* peer.connection.write(Buffer.concat(Array(messages.length).fill(dialect.stored)))
  })
  yield* conversation.upload.storeFromStart(batch, last, answer)
})

const takeQuestion = Effect.fnUntraced(function* (conversation: Conversation, agency: Agency) {
  yield* admit(conversation, agency)
  if (conversation.upload === undefined) {
    yield* (yield* Lottery).watch(agency, conversation.atBook)
    yield* conversation.peer.accepted
  } else if (!conversation.isFinished) {
    const reason = "expected the last batch before the question for the winners"
    return yield* new BadMessage({ reason, agency })
  }
})

/** Lets the peer speak for an agency, one on a connection. */
const admit = Effect.fnUntraced(function* ({ peer, upload }: Conversation, agency: Agency) {
  if (agency === upload?.agency) return
  yield* (yield* Lottery).admit(agency)
  yield* authorize(peer, agency)
  if (upload === undefined) return
  const own = `expected agency ${upload.agency}, to which this connection belongs`
  return yield* new BadMessage({ reason: `${own}, got agency ${agency}`, agency })
})

/**
 * Tells the peer why it is refused, if the dialect can. A peer that must leave its book and cannot
 * be told is kept until the draw: it would take the close for a broken connection, and send the
 * discarded book again.
 */
const refuse = Effect.fnUntraced(function* (
  { isFinished, peer }: Conversation,
  dialect: BookDialect,
  reason: Reason
) {
  const answer = dialect.refused(reason.message, isFinished)
  if (answer !== undefined) return yield* peer.connection.write(answer)
  if (reason._tag !== "Superseded" && reason._tag !== "Discarded") return
  const drawn = Effect.ignore((yield* Lottery).winnersOf(reason.agency))
  yield* Effect.raceFirst(drawn, Effect.raceFirst(discardInput(peer), peer.connection.lost))
})
