/**
 * The conversation of an agency in the native dialect (wire: "Native"). A fiber reads and checks
 * frames ahead while another takes them in order: frames of bets that came meanwhile go together
 * in the next commit, and one acknowledgement says how far the book is durable.
 */
import { Deferred, Effect, Queue } from "effect"
import { BetBatch } from "../../domain/BetBatch.ts"
import { boundedWait } from "../../domain/LoggedResource.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { NATIVE_PREFACE } from "../../protocol/Dialect.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import {
  type FrameTooLarge,
  readHello,
  readNativeRequest
} from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { authorize } from "../admission/Identity.ts"
import { forgetRead, linger, type Peer } from "../admission/Peer.ts"
import { awaitMessage, readInTime, type TooSlow } from "../admission/Timeouts.ts"
import { BookDiffers } from "../lottery/Comparison.ts"
import { Lottery } from "../lottery/Lottery.ts"
import type { AtBook, Superseded } from "../lottery/Turn.ts"
import type { Upload } from "../lottery/Upload.ts"
import { Conflict, type Discarded } from "../store/BetStore.ts"
import * as Intake from "./Intake.ts"
import { asInternalError } from "./InternalError.ts"
import {
  isNativeRefusal,
  type NativeRefusal,
  ShuttingDown,
  toRejected,
  WrongDraw
} from "./NativeRefusal.ts"
import { say } from "./NativeReply.ts"
import { awaitWinners } from "./NativeWinners.ts"

/** Frames of bets that a client may send ahead of their acknowledgement. */
const WINDOW = 32
/** Frames that wait to be taken, while as many are being taken: together the window. */
const QUEUED_FRAMES = WINDOW / 2
/** The most bytes of bets that go in one commit, unless a frame has more: a stop waits for it. */
const MAX_COMMIT_BYTES = 1024 * 1024
/** For a peer to take the last word at a stop. */
const LAST_WORD_TIMEOUT = "100 millis"

type Ending = EndOfStream | ConnectionLost
/** A frame that was read ahead, and where in what the peer sent it ends. */
interface ReadFrame {
  readonly frame: Native.NativeRequest
  readonly end: number
}
type Unreadable = BadMessage | FrameTooLarge | TooSlow | Ending
/** The frames that were read ahead; it fails with what ended the reading, after all before it. */
type Frames = Queue.Queue<ReadFrame, Unreadable>

/** How far a conversation has come. */
interface Conversation {
  upload: Upload | undefined
  /** The winners are on their way: nothing more is said. */
  isAnswered: boolean
}

/** Holds the conversation to its end, which is also the connection's. */
export const run = Effect.fnUntraced(function* (peer: Peer) {
  yield* peer.connection.reader.take(NATIVE_PREFACE.length)
  const onLeave = yield* Deferred.make<never, Superseded | Discarded>()
  const conversation: Conversation = { upload: undefined, isAnswered: false }
  yield* converse(peer, conversation, { ip: peer.ip, onLeave, lost: peer.connection.lost }).pipe(
    asInternalError,
    Effect.raceFirst(Deferred.await(onLeave)),
    Effect.catchIf(isNativeRefusal, (refusal) => reject(peer, conversation, refusal)),
    Effect.tapErrorTag(["EndOfStream", "ConnectionLost"], () =>
      conversation.upload === undefined || conversation.upload.hasFinished()
        ? Effect.void
        : Intake.logUnfinished(peer.ip, conversation.upload)
    ),
    Effect.onInterrupt(() => (conversation.isAnswered ? Effect.void : sayShuttingDown(peer)))
  )
})

/** Tells a peer at a stop that it may connect again; waits only shortly until it has read that. */
const sayShuttingDown = (peer: Peer) =>
  say(peer, toRejected(new ShuttingDown())).pipe(
    Effect.andThen(linger(peer, LAST_WORD_TIMEOUT)),
    // Who is gone already learns of it anyhow.
    Effect.ignore,
    (words) => boundedWait(words, LAST_WORD_TIMEOUT)
  )

/** Logs why nothing more is taken from the peer, and tells it. */
const reject = Effect.fnUntraced(
  function* (peer: Peer, { upload }: Conversation, refusal: NativeRefusal) {
    yield* refusal._tag === "NotFinished" || refusal._tag === "DamagedBet"
      ? Intake.logQuestionRefused(peer.ip, refusal)
      : Intake.logRefused(peer.ip, refusal, { upload })
    yield* say(peer, toRejected(refusal))
  },
  // What is too long to be said was said in the log.
  Effect.catchTag("BadMessage", () => Effect.void)
)

const converse = Effect.fnUntraced(function* (
  peer: Peer,
  conversation: Conversation,
  connection: AtBook
) {
  const upload = yield* greet(peer, connection)
  conversation.upload = upload
  // The reading ahead ends with the bets: whoever waits for the peer's close reads by itself.
  yield* Effect.scoped(
    Effect.flatMap(readAhead(peer), (frames) => answerFrames(peer, upload, frames))
  )
  yield* awaitWinners(peer, upload.agency, () => {
    conversation.isAnswered = true
  })
}, Effect.scoped)

/** Takes the Hello and says what is held. */
const greet = Effect.fnUntraced(function* (peer: Peer, connection: AtBook) {
  const lottery = yield* Lottery
  const { draw } = lottery
  const hello = yield* readInTime(peer, readHello(peer.connection.reader), true)
  if (hello._tag !== "Hello") {
    return yield* new BadMessage({ reason: `expected Hello, got ${hello._tag}` })
  }
  const { agency, token } = hello
  if (hello.draw !== draw.id) {
    return yield* new WrongDraw({ agency, draw: hello.draw, expected: draw.id })
  }
  yield* lottery.admit(agency)
  yield* authorize(peer, agency, token)
  const upload = yield* lottery.upload(agency, connection)
  const resumed = yield* upload.resume
  yield* peer.accepted
  yield* say(
    peer,
    new Native.Welcome({
      ...resumed,
      draw: draw.id,
      window: WINDOW,
      maxFrame: MAX_FRAME_BYTES
    })
  )
  yield* forgetRead(peer)
  return upload
})

/** Reads and checks frames until there is something that is none. */
const readAhead = Effect.fnUntraced(function* (peer: Peer) {
  const frames: Frames = yield* Queue.bounded<ReadFrame, Unreadable>(QUEUED_FRAMES)
  const { reader } = peer.connection
  const read = readInTime(peer, readNativeRequest(reader))
  yield* awaitMessage(peer).pipe(
    Effect.andThen(read),
    Effect.flatMap((frame) => {
      const end = reader.position()
      // A frame that came whole took no room yet, and many may wait here.
      return Effect.andThen(peer.held.room(end), Queue.offer(frames, { frame, end }))
    }),
    Effect.forever,
    Effect.catch((ending) => Queue.fail(frames, ending)),
    Effect.forkScoped
  )
  return frames
})

/** Answers frame after frame until the agency waits for its winners. */
const answerFrames = Effect.fnUntraced(function* (peer: Peer, upload: Upload, frames: Frames) {
  let arrived: ReadonlyArray<ReadFrame> = []
  let compare: ReturnType<typeof makeComparing> | undefined
  for (;;) {
    if (arrived.length === 0) arrived = yield* takeFrames(frames, upload)
    const { frame } = arrived[0]!
    let answered = 1
    switch (frame._tag) {
      case "Bets":
        if (compare === undefined) {
          const run = runOfBets(arrived)
          answered = run.length
          yield* storeRun(peer, upload, run)
        } else {
          yield* compare(frame)
        }
        break
      case "Compare":
        if (compare !== undefined) {
          return yield* new BadMessage({ reason: "expected Compare once" })
        }
        compare = makeComparing(peer, upload)
        break
      case "Finish":
        yield* finish(peer, upload, frame)
        break
      case "AwaitWinners":
        return
      case "Hello":
        return yield* new BadMessage({ reason: "expected Hello once, at the start" })
    }
    yield* peer.held.answered(arrived[answered - 1]!.end)
    arrived = arrived.slice(answered)
  }
})

/** Waits for frames, and says of what is none why it is refused. */
const takeFrames = (frames: Frames, upload: Upload) =>
  Effect.catchTag(Queue.takeAll(frames), "BadMessage", (bad) => {
    // Where no bet can follow, it does not matter which of them is bad.
    const refusal = bad.position === undefined ? undefined : upload.refusal(bad.position, 0)
    return Effect.fail(refusal?._tag === "AlreadyFinished" ? refusal : bad)
  })

/** The frames of bets that come first, as many as go in one commit. */
const runOfBets = (arrived: ReadonlyArray<ReadFrame>): ReadonlyArray<Native.Bets> => {
  const run: Array<Native.Bets> = []
  let bytes = 0
  for (const { frame } of arrived) {
    if (frame._tag !== "Bets") break
    bytes += frame.batch.byteLength
    if (run.length > 0 && bytes > MAX_COMMIT_BYTES) break
    run.push(frame)
  }
  return run
}

/** Stores the bets of some frames and acknowledges them; of a frame out of place nothing. */
const storeRun = Effect.fnUntraced(function* (
  peer: Peer,
  upload: Upload,
  run: ReadonlyArray<Native.Bets>
) {
  const batches: Array<BetBatch> = []
  let pending = 0
  let refusal: ReturnType<Upload["refusal"]>
  for (const { batch, position } of run) {
    refusal = upload.refusal(position, pending)
    if (refusal !== undefined) break
    batches.push(batch)
    pending += batch.count
  }
  if (batches.length > 0) yield* storeBatch(peer, upload, BetBatch.concat(batches))
  if (refusal !== undefined) return yield* refusal
})

/** Stores and acknowledges in one step, which nothing interrupts. */
const storeBatch = (peer: Peer, upload: Upload, batch: BetBatch) =>
  upload.append(
    batch,
    Effect.fnUntraced(function* (stored) {
      // A frame without bets is 13 bytes; a line for each would be many times that.
      if (batch.count > 0) yield* Intake.logStored(upload.agency, batch, stored)
      yield* say(peer, new Native.Ack({ bets: upload.position() }))
    })
  )

const finish = Effect.fnUntraced(function* (
  peer: Peer,
  upload: Upload,
  { bets, sha256 }: Native.Finish
) {
  yield* upload.finish(bets, sha256)
  yield* say(peer, new Native.Finished({ bets, sha256 }))
}, Effect.uninterruptible)

/** Compares frame after frame from position 0 on with what is stored. */
const makeComparing = (peer: Peer, upload: Upload) => {
  const { agency } = upload
  let next = 0
  return Effect.fnUntraced(function* ({ batch, position }: Native.Bets) {
    if (position !== next) return yield* new Conflict({ agency, position, held: next })
    next += yield* upload.compareAt(position, batch)
    if (next < position + batch.count) return yield* new BookDiffers({ agency, position: next })
    yield* say(peer, new Native.Ack({ bets: next }))
  })
}
