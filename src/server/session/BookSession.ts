/**
 * The conversation that both dialects of the old systems have: an agency's book from its start,
 * batch by batch, each acknowledged once stored; then the question, and at the draw the agency's
 * own winners. Batches that have come already are stored together. How it is said is the dialect's.
 */
import { Deferred, Effect, Result, type Scope } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import type { WinningDocuments } from "../../domain/Draw.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { authorize, type Identity, type Unauthorized } from "../admission/Identity.ts"
import { discardInput, forgetRead, type Peer } from "../admission/Peer.ts"
import { awaitMessage, readInTime, type TooSlow } from "../admission/Timeouts.ts"
import { Lottery, type UnknownAgency } from "../lottery/Lottery.ts"
import type { AtBook, Superseded } from "../lottery/Turn.ts"
import type { StoredBatch, Upload } from "../lottery/Upload.ts"
import type { Discarded } from "../store/BetStore.ts"
import * as Intake from "./Intake.ts"
import { asInternalError } from "./InternalError.ts"
import { type Answer, tellWinners } from "./TellWinners.ts"

/** Some bets of an agency; `last` says that its book is whole with them. */
export interface Bets {
  readonly _tag: "Bets"
  readonly agency: Agency
  readonly batch: BetBatch
  readonly last: boolean
}

/** An agency asks for its winners. */
export interface Question {
  readonly _tag: "Question"
  readonly agency: Agency
}

/** How a dialect says what this conversation is made of. */
export interface BookDialect {
  /** Reads one message; `finished` says that the last batch of this connection was accepted. */
  readonly read: (
    peer: Peer,
    finished: boolean
  ) => Effect.Effect<Bets | Question, BadMessage | TooSlow | EndOfStream | ConnectionLost>
  /** Whether bytes begin with a message that can be read without waiting, and at little cost. */
  readonly beginsWithMessage: (bytes: Uint8Array) => boolean
  /** The acknowledgement of a batch. */
  readonly stored: Uint8Array
  /** Why a message was refused, where the dialect can say so. */
  readonly refused: (reason: string, finished: boolean) => Uint8Array | undefined
  readonly winners: (documents: WinningDocuments) => Answer
}

/** Bets of one agency that came together, and are stored together. */
interface Run {
  readonly _tag: "Run"
  readonly agency: Agency
  readonly messages: ReadonlyArray<Bets>
}

/** From so many bytes of bets on no further message is stored together with them. */
const MAX_RUN_BYTES = 1024 * 1024
/** Messages of a run: one without bets has a few bytes as it comes, and some hundred here. */
const MAX_RUN_MESSAGES = 256

/** How far a conversation has come. */
interface Progress {
  upload: Upload | undefined
  /** The last batch was accepted. */
  finished: boolean
  /** What was read behind a run, and does not belong to it. */
  next: Result.Result<Bets | Question, BadMessage> | undefined
}

/** Holds the conversation to its end, which is also the connection's. */
export const run = Effect.fnUntraced(function* (peer: Peer, dialect: BookDialect) {
  const onLeave = yield* Deferred.make<never, Superseded | Discarded>()
  const progress: Progress = { upload: undefined, finished: false, next: undefined }
  yield* converse(peer, dialect, progress, {
    ip: peer.ip,
    onLeave,
    lost: peer.connection.lost
  }).pipe(
    asInternalError,
    Effect.raceFirst(Deferred.await(onLeave)),
    Effect.catchTag(["Superseded", "Discarded"], (left) => leave(peer, dialect, progress, left)),
    Effect.catchTag("InternalError", (error) => refuseBets(peer, dialect, progress, error)),
    Effect.tapErrorTag(["EndOfStream", "ConnectionLost"], () => logUnfinished(peer, progress))
  )
})

/** Logs an agency that went away in the middle of its book. */
const logUnfinished = ({ ip }: Peer, { finished, upload }: Progress) =>
  upload === undefined || finished ? Effect.void : Intake.logUnfinished(ip, upload)

/**
 * Sends a peer away from an agency's book. One that cannot be told why is kept until the draw: it
 * would take the close for a broken connection, and bring back the book that somebody discarded.
 */
const leave = Effect.fnUntraced(function* (
  peer: Peer,
  dialect: BookDialect,
  progress: Progress,
  left: Superseded | Discarded
) {
  const { upload } = progress
  yield* upload === undefined
    ? Intake.logQuestionRefused(peer.ip, left)
    : Intake.logRefused(peer.ip, left, { upload })
  const answer = dialect.refused(left.message, progress.finished)
  if (answer !== undefined) return yield* peer.connection.write(answer)
  const lottery = yield* Lottery
  const gone = Effect.raceFirst(discardInput(peer), peer.connection.lost)
  yield* Effect.raceFirst(Effect.ignore(lottery.winnersOf(left.agency)), gone)
})

/** Tells the peer why a message is refused, if the dialect can. */
const answerRefused = (
  { connection }: Peer,
  dialect: BookDialect,
  { finished }: Progress,
  reason: string
) => {
  const answer = dialect.refused(reason, finished)
  return answer === undefined ? Effect.void : connection.write(answer)
}

const refuseBets = Effect.fnUntraced(function* (
  peer: Peer,
  dialect: BookDialect,
  progress: Progress,
  refusal: Intake.Refusal,
  count?: number
) {
  yield* Intake.logRefused(peer.ip, refusal, { upload: progress.upload, count })
  yield* answerRefused(peer, dialect, progress, refusal.message)
  return "refused" as const
})

const refuseQuestion = Effect.fnUntraced(function* (
  peer: Peer,
  dialect: BookDialect,
  progress: Progress,
  refusal: Intake.QuestionRefusal
) {
  yield* Intake.logQuestionRefused(peer.ip, refusal)
  yield* answerRefused(peer, dialect, progress, refusal.message)
  return "refused" as const
})

/** What a message came to: an agency's question is answered with its winners. */
type Outcome = "taken" | "refused" | Agency

/** Whether a message ahead of the refused one may be good. */
const isOfOneMessage = ({ _tag }: Intake.Refusal): boolean =>
  _tag === "BookDiffers" ||
  _tag === "BookMismatch" ||
  _tag === "AlreadyFinished" ||
  _tag === "Conflict"

const converse = Effect.fnUntraced(function* (
  peer: Peer,
  dialect: BookDialect,
  progress: Progress,
  connection: AtBook
) {
  const lottery = yield* Lottery

  const storeBets = Effect.fnUntraced(function* (agency: Agency, messages: ReadonlyArray<Bets>) {
    if (progress.finished) {
      return yield* new BadMessage({ reason: "no bet can follow the last batch", agency })
    }
    yield* lottery.admit(agency)
    yield* authorize(peer, agency)
    progress.upload ??= yield* lottery.upload(agency, connection)
    const { upload } = progress
    if (agency !== upload.agency) return yield* anotherAgency(upload.agency, agency)
    const batch = BetBatch.concat(messages.map((message) => message.batch))
    const last = messages.at(-1)!.last
    const answer = Effect.fnUntraced(function* (stored: StoredBatch) {
      yield* Intake.logStored(agency, batch, stored)
      yield* peer.accepted
      progress.finished = last
      yield* peer.connection.write(Buffer.concat(Array(messages.length).fill(dialect.stored)))
    })
    yield* upload.store(batch, last, answer)
    return "taken" as const
  })

  const refuse = (refusal: Intake.Refusal, count?: number) =>
    refuseBets(peer, dialect, progress, refusal, count)

  const takeMessage = (agency: Agency, message: Bets) =>
    Effect.catchTag(storeBets(agency, [message]), Intake.REFUSALS, (refusal) =>
      refuse(refusal, message.batch.count)
    )

  /** Stores a run at once; if one of its messages is refused, those ahead of it by themselves. */
  const takeRun = ({ agency, messages }: Run) =>
    Effect.catchTag(
      storeBets(agency, messages),
      Intake.REFUSALS,
      Effect.fnUntraced(function* (refusal) {
        if (messages.length === 1 || !isOfOneMessage(refusal)) {
          return yield* refuse(refusal, messages[0]!.batch.count)
        }
        for (const message of messages) {
          if ((yield* takeMessage(agency, message)) === "refused") return "refused" as const
        }
        return "taken" as const
      })
    )

  const checkQuestion = Effect.fnUntraced(function* ({
    agency
  }: Question): Effect.fn.Return<
    Outcome,
    BadMessage | UnknownAgency | Unauthorized,
    Identity | Scope.Scope
  > {
    yield* lottery.admit(agency)
    yield* authorize(peer, agency)
    const { finished, upload } = progress
    if (upload === undefined) {
      yield* lottery.attend(agency, connection)
      yield* peer.accepted
      return agency
    }
    if (agency !== upload.agency) return yield* anotherAgency(upload.agency, agency)
    if (!finished) {
      const reason = "expected the last batch before the question for the winners"
      return yield* new BadMessage({ reason, agency })
    }
    return agency
  })

  const takeQuestion = (question: Question) =>
    Effect.catchTag(
      checkQuestion(question),
      ["BadMessage", "UnknownAgency", "Unauthorized"],
      (refusal) => refuseQuestion(peer, dialect, progress, refusal)
    )

  // Where the book is whole the peer waits for the draw, and need not say anything.
  const awaitNext = Effect.suspend(() => {
    const { reader } = peer.connection
    if (!progress.finished) return awaitMessage(peer)
    return reader.buffered().length > 0 ? Effect.void : reader.fill
  })
  const readMessage = Effect.suspend(() => {
    const { next } = progress
    progress.next = undefined
    if (next !== undefined) return Effect.fromResult(next)
    return forgetRead(peer).pipe(
      Effect.andThen(awaitNext),
      Effect.andThen(Effect.suspend(() => readInTime(peer, dialect.read(peer, progress.finished))))
    )
  })

  /** Reads a message, and the bets that have come behind bets. */
  const readRun = Effect.gen(function* () {
    const { reader } = peer.connection
    const first = yield* readMessage
    if (first._tag === "Question") return first
    const messages = [first]
    let { last } = first
    let bytes = first.batch.byteLength
    const hasRoom = () => bytes < MAX_RUN_BYTES && messages.length < MAX_RUN_MESSAGES
    while (!last && hasRoom() && dialect.beginsWithMessage(reader.buffered())) {
      const next = yield* readWaiting
      if (Result.isFailure(next) || !isMoreOf(first, next.success)) {
        progress.next = next
        break
      }
      messages.push(next.success)
      bytes += next.success.batch.byteLength
      last = next.success.last
    }
    return { _tag: "Run", agency: first.agency, messages } satisfies Run
  })
  const readWaiting = Effect.suspend(() => dialect.read(peer, false)).pipe(
    Effect.map(Result.succeed),
    Effect.catchTag("BadMessage", (bad) => Effect.succeed(Result.fail(bad)))
  )

  const step = Effect.suspend(() => readRun).pipe(
    Effect.flatMap(
      (
        message
      ): Effect.Effect<Outcome, Superseded | Discarded | ConnectionLost, Identity | Scope.Scope> =>
        message._tag === "Run" ? takeRun(message) : takeQuestion(message)
    ),
    Effect.catchTag(["BadMessage", "TooSlow"], (refusal) => refuse(refusal))
  )

  for (;;) {
    const outcome = yield* step
    if (outcome === "refused") return
    if (outcome === "taken") continue
    const { winners } = dialect
    const told = tellWinners(peer, outcome, { meanwhile: Effect.never, winners, closes: false })
    return yield* Effect.catchTag(told, ["BadMessage", "DamagedBet"], (refusal) =>
      refuseQuestion(peer, dialect, progress, refusal)
    )
  }
})

const isMoreOf = (first: Bets, next: Bets | Question): next is Bets =>
  next._tag === "Bets" && next.agency === first.agency

const anotherAgency = (agency: Agency, other: Agency): BadMessage =>
  new BadMessage({
    reason: `expected agency ${agency}, to which this connection belongs, got agency ${other}`,
    agency: other
  })
