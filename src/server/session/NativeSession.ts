/**
 * The session of a native client (docs/wire.md, "Native"). One fiber reads and checks frames ahead
 * while another processes them in order. Bets that arrive during a commit are stored together in
 * the next one, and a single acknowledgement reports how much of the book is durable.
 */
import { Effect, Exit, Queue, Result, Scope } from "effect"
import { BetBatch } from "../../domain/BetBatch.ts"
import { boundedWait } from "../../domain/LoggedResource.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import * as Frames from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import { NATIVE_PREFACE } from "../../protocol/native/Preface.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { authorize } from "../admission/Identity.ts"
import { forgetRead, linger, type Peer } from "../admission/Peer.ts"
import { awaitMessage, readInTime, type TooSlow } from "../admission/Timeouts.ts"
import { Lottery } from "../lottery/Lottery.ts"
import type { Standing } from "../lottery/Standing.ts"
import type { Upload } from "../lottery/Upload.ts"
import { AlreadyFinished } from "../store/BetStore.ts"
import type { News } from "./AwaitDraw.ts"
import { type Conversation, forgetUpload, logStored, runConversation } from "./Conversation.ts"
import * as Pending from "./Pending.ts"
import { Objection, type Refusal, toRejected } from "./Refusal.ts"
import { type EncodeWinners, encodeOnce } from "./TellWinners.ts"

/**
 * Maximum frames of bets that a client may send without an acknowledgement. Frames of one bet cost
 * the server 23 µs each with 32 and 10 µs with 1,024: the rest of their cost is per commit and per
 * acknowledgement. Larger frames are limited by the memory that they claim.
 */
const WINDOW = 1024
/** Maximum messages read ahead; frames of bets that arrive together are one message. */
const QUEUED_MESSAGES = 16
/** Maximum bytes of several frames of bets per commit. Stopping the server waits for it to end. */
const MAX_COMMIT_BYTES = 1024 * 1024
/** Time for a peer to read `ShuttingDown` when the server stops. */
const SHUTTING_DOWN_TIMEOUT = "100 millis"
/** Documents per `Winners` message: at 13 bytes each they fit in a frame. */
const DOCUMENTS_PER_MESSAGE = 50_000

interface ReadFrame {
  readonly frame: Native.NativeRequest
  /** The frame's end, as a byte position in the peer's stream. */
  readonly end: number
}
/** The frames that were read ahead, then the error that ended the reading. */
type ReadAhead = Queue.Queue<ReadFrame, Unreadable>
type Unreadable = BadMessage | Frames.FrameTooLarge | TooSlow | EndOfStream | ConnectionLost

/** All of the server's messages fit in a frame. */
const encode = (reply: Native.NativeReply): Uint8Array =>
  Result.getOrThrow(Frames.encodeNativeReply(reply))

const send = ({ connection }: Peer, reply: Native.NativeReply) =>
  Effect.suspend(() => connection.write(encode(reply)))

/** Runs the session; the connection ends with it. */
export const run = Effect.fnUntraced(function* (peer: Peer) {
  yield* peer.connection.reader.take(NATIVE_PREFACE.length)
  return yield* Pending.scoped(runConversation(peer, converse, refuse))
})

const refuse = ({ peer }: Conversation, { reason }: Refusal) => send(peer, toRejected(reason))

const SHUTTING_DOWN = new Native.Rejected({
  code: "ShuttingDown",
  message: "the server is shutting down; connect again"
})

/** Tells a peer that the server is stopping, and gives it a moment to read that. */
const sendShuttingDown = (peer: Peer) =>
  send(peer, SHUTTING_DOWN).pipe(
    Effect.andThen(linger(peer, SHUTTING_DOWN_TIMEOUT)),
    Effect.ignore,
    (sending) => boundedWait(sending, SHUTTING_DOWN_TIMEOUT)
  )

const converse = Effect.fnUntraced(function* (conversation: Conversation) {
  const { peer } = conversation
  let areWinnersSent = false
  yield* Scope.addFinalizerExit(yield* Effect.scope, (exit) =>
    // Nothing may follow the winners.
    Exit.hasInterrupts(exit) && !areWinnersSent ? sendShuttingDown(peer) : Effect.void
  )
  const agency = yield* takeBook(conversation)
  forgetUpload(conversation)
  conversation.isAsking = true
  const winners: EncodeWinners = (own) => {
    areWinnersSent = true
    return winnersFrames(own)
  }
  return { agency, news: NEWS, winners, closes: true }
})

/** Serves the upload until the agency requests its winners. */
const takeBook = Effect.fnUntraced(function* (conversation: Conversation) {
  const upload = yield* greet(conversation)
  conversation.upload = upload
  // Closing the scope stops the read-ahead, because `tellWinners` itself reads the peer's close.
  yield* Effect.scoped(
    Effect.flatMap(readAhead(conversation.peer), (ahead) =>
      processFrames(conversation, upload, ahead)
    )
  )
  return upload.agency
})

/** Answers the Hello with the state of the stored book. */
const greet = Effect.fnUntraced(function* (conversation: Conversation) {
  const { bookConnection, peer } = conversation
  const lottery = yield* Lottery
  const { draw } = lottery
  const hello = yield* readInTime(peer, Frames.readHello(peer.connection.reader), true)
  if (hello._tag !== "Hello") {
    return yield* new BadMessage({ reason: `expected Hello, got ${hello._tag}` })
  }
  const { agency, token } = hello
  if (hello.draw !== draw.id) {
    const runs = `this server runs the draw ${draw.id}`
    const message = `${runs}, but agency ${agency} asked for ${hello.draw}`
    return yield* new Objection({ code: "WrongDraw", message, agency })
  }
  yield* lottery.admit(agency)
  yield* authorize(peer, agency, token)
  yield* Effect.annotateCurrentSpan("lottery.agency", agency)
  const upload = yield* lottery.upload(agency, bookConnection, hello.book?.bets)
  const resumed = yield* upload.resume
  conversation.isFinished = resumed.finished
  yield* peer.accepted
  const terms = { draw: draw.id, window: WINDOW, maxFrame: MAX_FRAME_BYTES }
  yield* send(peer, new Native.Welcome({ ...resumed, ...terms }))
  yield* forgetRead(peer)
  return upload
})

/** Starts a fiber that reads and checks frames until the first error. */
const readAhead = Effect.fnUntraced(function* (peer: Peer) {
  const ahead: ReadAhead = yield* Queue.bounded<ReadFrame, Unreadable>(QUEUED_MESSAGES)
  const { reader } = peer.connection
  const readNext = readInTime(peer, Frames.readNativeRequest(reader))
  // Each frame that is compared has its own answer.
  let isComparing = false
  yield* awaitMessage(peer).pipe(
    Effect.andThen(
      Effect.suspend(() => {
        const bets = isComparing ? undefined : Frames.takeBets(reader, MAX_COMMIT_BYTES)
        return bets === undefined ? readNext : Effect.succeed(bets)
      })
    ),
    Effect.flatMap((frame) => {
      isComparing ||= frame._tag === "Compare"
      const end = reader.position()
      // A frame that arrived whole has not claimed memory yet, and many may wait here.
      return Effect.andThen(peer.memory.room(end), Queue.offer(ahead, { frame, end }))
    }),
    Effect.forever,
    Effect.catch((ending) => Queue.fail(ahead, ending)),
    Effect.forkScoped
  )
  return ahead
})

/** Processes frames until the agency requests its winners. */
const processFrames = Effect.fnUntraced(function* (
  conversation: Conversation,
  upload: Upload,
  ahead: ReadAhead
) {
  const { peer } = conversation
  let frames: ReadonlyArray<ReadFrame> = []
  let isComparing = false
  for (;;) {
    if (frames.length === 0) {
      // After Finish an invalid bet is refused like a valid one.
      const refusesBets = conversation.isFinished && !isComparing
      frames = yield* refusesBets ? nextOfFinished(upload, ahead) : Queue.takeAll(ahead)
    }
    const { frame } = frames[0]!
    let taken = 1
    switch (frame._tag) {
      case "Bets":
        if (isComparing) {
          const bets = yield* upload.compare(frame.position, frame.batch)
          yield* send(peer, new Native.Ack({ bets }))
        } else {
          const batches = batchesForCommit(frames)
          taken = batches.length
          yield* storeBets(peer, upload, frame.position, BetBatch.concat(batches))
        }
        break
      case "Compare":
        if (isComparing) return yield* new BadMessage({ reason: "expected only one Compare" })
        isComparing = true
        break
      case "Finish":
        if (isComparing)
          return yield* new BadMessage({ reason: "expected no Finish after Compare" })
        yield* finish(conversation, upload, frame)
        break
      case "AwaitWinners":
        return
      case "Hello":
        return yield* new BadMessage({ reason: "expected Hello only as the first message" })
    }
    yield* peer.memory.answered(frames[taken - 1]!.end)
    frames = frames.slice(taken)
  }
})

const nextOfFinished = (upload: Upload, ahead: ReadAhead) =>
  Effect.mapError(Queue.takeAll(ahead), (ending) =>
    ending._tag === "BadMessage" && ending.position !== undefined
      ? new AlreadyFinished({ agency: upload.agency, bets: upload.position() })
      : ending
  )

/** Returns the batches for one commit, from leading frames that follow each other in the book. */
const batchesForCommit = (frames: ReadonlyArray<ReadFrame>): ReadonlyArray<BetBatch> => {
  const batches: Array<BetBatch> = []
  let bytes = 0
  let end: number | undefined
  for (const { frame } of frames) {
    if (frame._tag !== "Bets" || frame.position !== (end ?? frame.position)) break
    bytes += frame.batch.byteLength
    if (batches.length > 0 && bytes > MAX_COMMIT_BYTES) break
    batches.push(frame.batch)
    end = frame.position + frame.batch.count
  }
  return batches
}

const storeBets = (peer: Peer, upload: Upload, position: number, batch: BetBatch) =>
  upload.append(
    position,
    batch,
    Effect.fnUntraced(function* (stored) {
      // An empty frame is 13 bytes; its log line would be many times that.
      if (batch.count > 0) yield* logStored(upload.agency, batch, stored)
      yield* send(peer, new Native.Ack({ bets: upload.position() }))
    })
  )

const finish = Effect.fnUntraced(function* (
  conversation: Conversation,
  upload: Upload,
  { bets, sha256 }: Native.Finish
) {
  yield* upload.finish(bets, sha256)
  conversation.isFinished = true
  const { evidence } = yield* Lottery
  const receipt = evidence && { receipt: evidence.receiptOf(upload.agency, { bets, sha256 }) }
  yield* send(conversation.peer, new Native.Finished({ bets, sha256, ...receipt }))
}, Effect.uninterruptible)

/** Thousands of agencies are sent the same standing. */
const standingFrames = new WeakMap<Standing, Uint8Array>()

const NEWS: News = {
  standing: (standing) => {
    const frame = standingFrames.get(standing) ?? encode(new Native.Waiting(standing))
    standingFrames.set(standing, frame)
    return frame
  },
  seal: (standing, seal) => encode(new Native.Waiting({ ...standing, seal }))
}

/** Encodes the winners in as many messages as they need; at least one. */
const winnersFrames = encodeOnce(({ documents, result, winningNumber: number }) => {
  const messages: Array<Native.Winners> = []
  let start = 0
  do {
    const end = start + DOCUMENTS_PER_MESSAGE
    const more = end < documents.length
    const signed = start === 0 && result !== undefined && { result }
    const own = documents.slice(start, end)
    messages.push(new Native.Winners({ number, documents: own, more, ...signed }))
    start = end
  } while (start < documents.length)
  return Result.map(Result.all(messages.map(Frames.encodeNativeReply)), Buffer.concat)
})
