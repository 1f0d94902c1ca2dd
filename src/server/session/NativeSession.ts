/**
 * The conversation of an agency in the native dialect (wire: "Native"). A fiber reads and checks
 * frames ahead while another takes them in order: frames of bets that came meanwhile go together
 * in the next commit, and one acknowledgement says how far the book is durable.
 */
import { Effect, Queue, Result } from "effect"
import { BetBatch } from "../../domain/BetBatch.ts"
import { boundedWait } from "../../domain/LoggedResource.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { NATIVE_PREFACE } from "../../protocol/Dialect.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import * as Frames from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { authorize } from "../admission/Identity.ts"
import { forgetRead, linger, type Peer } from "../admission/Peer.ts"
import { awaitMessage, readInTime, type TooSlow } from "../admission/Timeouts.ts"
import { Lottery } from "../lottery/Lottery.ts"
import type { Upload } from "../lottery/Upload.ts"
import { AlreadyFinished } from "../store/BetStore.ts"
import { type Conversation, logStored, runConversation } from "./Conversation.ts"
import { Objection, toRejected } from "./Refusal.ts"
import { madeOnce, tellWinners } from "./TellWinners.ts"

/** Frames of bets that a client may send ahead of their acknowledgement. */
const WINDOW = 32
/** Frames that wait to be taken, while as many are being taken: together the window. */
const QUEUED_FRAMES = WINDOW / 2
/** The most bytes of bets that go in one commit, unless a frame has more: a stop waits for it. */
const MAX_COMMIT_BYTES = 1024 * 1024
/** For a peer to take the last word at a stop. */
const LAST_WORD_TIMEOUT = "100 millis"
/** The least time between two `Waiting` messages. */
const STANDING_AT_MOST_EVERY = "1 second"
/** How much longer if nothing changes: every 15 s an agency hears that the server is there. */
const STANDING_AGAIN_AFTER = "14 seconds"
/** Documents of a `Winners` message: at 13 bytes each they fit a frame. */
const DOCUMENTS_PER_MESSAGE = 50_000

/** A frame that was read ahead, and the position in what the peer sent at which it ends. */
interface ReadFrame {
  readonly frame: Native.NativeRequest
  readonly end: number
}
/** The frames that were read ahead; after the last it fails with what ended the reading. */
type ReadAhead = Queue.Queue<ReadFrame, Unreadable>
type Unreadable = BadMessage | Frames.FrameTooLarge | TooSlow | EndOfStream | ConnectionLost

/** Sends a message; none of the server's is too large for a frame. */
const say = ({ connection }: Peer, reply: Native.NativeReply) =>
  Effect.suspend(() => connection.write(Result.getOrThrow(Frames.encodeNativeReply(reply))))

/** Holds the conversation to its end, which is also the connection's. */
export const run = Effect.fnUntraced(function* (peer: Peer) {
  yield* peer.connection.reader.take(NATIVE_PREFACE.length)
  let isTold = false
  const onTold = () => {
    isTold = true
  }
  yield* runConversation(
    peer,
    (conversation) => converse(conversation, onTold),
    (_, reason) => say(peer, toRejected(reason))
  ).pipe(
    // Nothing is said behind the winners.
    Effect.onInterrupt(() => (isTold ? Effect.void : sayShuttingDown(peer)))
  )
})

const SHUTTING_DOWN = new Native.Rejected({
  code: "ShuttingDown",
  message: "the server is shutting down; connect again"
})

/** Tells a peer at a stop that it may connect again; waits only shortly until it has read that. */
const sayShuttingDown = (peer: Peer) =>
  say(peer, SHUTTING_DOWN).pipe(
    Effect.andThen(linger(peer, LAST_WORD_TIMEOUT)),
    // A peer that is gone learns of it anyhow.
    Effect.ignore,
    (words) => boundedWait(words, LAST_WORD_TIMEOUT)
  )

const converse = Effect.fnUntraced(function* (conversation: Conversation, onTold: () => void) {
  const upload = yield* greet(conversation)
  conversation.upload = upload
  // The reading ahead ends with the bets: what waits for the peer's close reads by itself.
  yield* Effect.scoped(
    Effect.flatMap(readAhead(conversation.peer), (ahead) => takeFrames(conversation, upload, ahead))
  )
  conversation.isAsking = true
  yield* awaitWinners(conversation.peer, upload.agency, onTold)
}, Effect.scoped)

/** Takes the Hello and says what is stored. */
const greet = Effect.fnUntraced(function* (conversation: Conversation) {
  const { atBook, peer } = conversation
  const lottery = yield* Lottery
  const { draw } = lottery
  const hello = yield* readInTime(peer, Frames.readHello(peer.connection.reader), true)
  if (hello._tag !== "Hello") {
    return yield* new BadMessage({ reason: `expected Hello, got ${hello._tag}` })
  }
  const { agency, token } = hello
  if (hello.draw !== draw.id) {
    const holds = `this server holds the draw ${draw.id}`
    const message = `${holds}, agency ${agency} asked for ${hello.draw}`
    return yield* new Objection({ code: "WrongDraw", message, agency })
  }
  yield* lottery.admit(agency)
  yield* authorize(peer, agency, token)
  const upload = yield* lottery.upload(agency, atBook)
  const resumed = yield* upload.resume
  conversation.isFinished = resumed.finished
  yield* peer.accepted
  const terms = { draw: draw.id, window: WINDOW, maxFrame: MAX_FRAME_BYTES }
  yield* say(peer, new Native.Welcome({ ...resumed, ...terms }))
  yield* forgetRead(peer)
  return upload
})

/** Starts to read and check frames, until something is not a frame. */
const readAhead = Effect.fnUntraced(function* (peer: Peer) {
  const ahead: ReadAhead = yield* Queue.bounded<ReadFrame, Unreadable>(QUEUED_FRAMES)
  const { reader } = peer.connection
  const read = readInTime(peer, Frames.readNativeRequest(reader))
  yield* awaitMessage(peer).pipe(
    Effect.andThen(read),
    Effect.flatMap((frame) => {
      const end = reader.position()
      // A frame that came whole took no room yet, and many may wait here.
      return Effect.andThen(peer.memory.room(end), Queue.offer(ahead, { frame, end }))
    }),
    Effect.forever,
    Effect.catch((ending) => Queue.fail(ahead, ending)),
    Effect.forkScoped
  )
  return ahead
})

/** Takes frame after frame until the agency waits for its winners. */
const takeFrames = Effect.fnUntraced(function* (
  conversation: Conversation,
  upload: Upload,
  ahead: ReadAhead
) {
  const { peer } = conversation
  let frames: ReadonlyArray<ReadFrame> = []
  let isComparing = false
  for (;;) {
    if (frames.length === 0) frames = yield* nextFrames(conversation, upload, ahead)
    const { frame } = frames[0]!
    let taken = 1
    switch (frame._tag) {
      case "Bets":
        if (isComparing) {
          const bets = yield* upload.compare(frame.position, frame.batch)
          yield* say(peer, new Native.Ack({ bets }))
        } else {
          const batches = batchesInARow(frames)
          taken = batches.length
          yield* storeBets(peer, upload, frame.position, BetBatch.concat(batches))
        }
        break
      case "Compare":
        if (isComparing) return yield* new BadMessage({ reason: "expected Compare once" })
        isComparing = true
        break
      case "Finish":
        yield* finish(conversation, upload, frame)
        break
      case "AwaitWinners":
        return
      case "Hello":
        return yield* new BadMessage({ reason: "expected Hello once, at the start" })
    }
    yield* peer.memory.answered(frames[taken - 1]!.end)
    frames = frames.slice(taken)
  }
})

/** Waits for the next frames. */
const nextFrames = (conversation: Conversation, upload: Upload, ahead: ReadAhead) =>
  Effect.mapError(Queue.takeAll(ahead), (ending) =>
    // If no bet can follow, it does not matter which of them is bad.
    ending._tag === "BadMessage" && ending.position !== undefined && conversation.isFinished
      ? new AlreadyFinished({ agency: upload.agency, bets: upload.position() })
      : ending
  )

/** The bets for one commit: of the first frames, each at the end of the one before. */
const batchesInARow = (frames: ReadonlyArray<ReadFrame>): ReadonlyArray<BetBatch> => {
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

/** Stores and acknowledges in one step, which nothing interrupts. */
const storeBets = (peer: Peer, upload: Upload, position: number, batch: BetBatch) =>
  upload.append(
    position,
    batch,
    Effect.fnUntraced(function* (stored) {
      // A frame without bets is 13 bytes; a line for each would be many times that.
      if (batch.count > 0) yield* logStored(upload.agency, batch, stored)
      yield* say(peer, new Native.Ack({ bets: upload.position() }))
    })
  )

const finish = Effect.fnUntraced(function* (
  conversation: Conversation,
  upload: Upload,
  { bets, sha256 }: Native.Finish
) {
  yield* upload.finish(bets, sha256)
  conversation.isFinished = true
  yield* say(conversation.peer, new Native.Finished({ bets, sha256 }))
}, Effect.uninterruptible)

/** Tells a finished agency how many others have finished as that changes, then its winners. */
const awaitWinners = Effect.fnUntraced(function* (peer: Peer, agency: number, onTold: () => void) {
  const { standings } = yield* Lottery
  const sayStanding = Effect.gen(function* () {
    if (!standings.hasFinished(agency)) {
      const unfinished = `agency ${agency} has not finished its book, or it was discarded`
      const message = `${unfinished}; send it first`
      return yield* new Objection({ code: "NotFinished", message, agency })
    }
    const standing = standings.now()
    yield* say(peer, new Native.Waiting(standing))
    return standing
  })
  let said = yield* sayStanding
  const saySometimes = Effect.gen(function* () {
    yield* Effect.sleep(STANDING_AT_MOST_EVERY)
    yield* Effect.timeoutOption(standings.changedFrom(said), STANDING_AGAIN_AFTER)
    said = yield* sayStanding
  })
  yield* tellWinners(peer, agency, {
    meanwhile: Effect.forever(saySometimes),
    winners: (...winners) => {
      onTold()
      return winnersFrames(...winners)
    },
    closes: true
  })
})

/** The winners in as many messages as they need; one if there are none. */
const winnersFrames = madeOnce((documents, number) => {
  const messages: Array<Native.Winners> = []
  let start = 0
  do {
    const end = start + DOCUMENTS_PER_MESSAGE
    const more = end < documents.length
    messages.push(new Native.Winners({ number, documents: documents.slice(start, end), more }))
    start = end
  } while (start < documents.length)
  return Result.map(Result.all(messages.map(Frames.encodeNativeReply)), Buffer.concat)
})
