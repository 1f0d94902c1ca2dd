/**
 * The conversation that both dialects of the old systems have: an agency's book from its start,
 * batch by batch, each acknowledged once stored; then the question, and at the draw the agency's
 * own winners. Batches that have come already are stored together, or refused together where the
 * store refuses them. What is said how is the dialect's.
 */
import { Deferred, Effect, Result, type Scope } from "effect"
import type { Agency } from "../domain/Agency.ts"
import { BetBatch } from "../domain/BetBatch.ts"
import type { WinningDocuments } from "../domain/Draw.ts"
import type { EndOfStream } from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../protocol/PeerConnection.ts"
import type { Discarded } from "./BetStore.ts"
import { authorize, type Unauthorized } from "./Identity.ts"
import * as Intake from "./Intake.ts"
import { Lottery, type UnknownAgency } from "./Lottery.ts"
import { awaitMessage, readInTime, type TooSlow } from "./Patience.ts"
import { discardInput, forgetRead, type Peer } from "./Peer.ts"
import { tellWinners } from "./TellWinners.ts"
import type { OnLeave, Superseded } from "./Turn.ts"
import type { Upload } from "./Upload.ts"

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
  readonly winners: (documents: WinningDocuments) => Result.Result<Uint8Array, BadMessage>
}

/** Some batches of one agency, which are stored together; `last` says it of the last one. */
interface Run extends Bets {
  /** How many messages they were. */
  readonly messages: number
}

/** From so many bytes of bets on no further message is stored together with them. */
const MAX_RUN_BYTES = 1024 * 1024

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
  yield* converse(peer, dialect, progress, onLeave).pipe(
    Effect.raceFirst(Deferred.await(onLeave)),
    Effect.catchTag(["Superseded", "Discarded"], (left) => leave(peer, dialect, progress, left)),
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
  yield* Effect.raceFirst(Effect.asVoid(lottery.winnersOf(left.agency)), gone)
})

/** Says to the peer why a message is refused, where the dialect can. */
const answerRefused = (
  { connection }: Peer,
  dialect: BookDialect,
  { finished }: Progress,
  reason: string
) => {
  const answer = dialect.refused(reason, finished)
  return answer === undefined ? Effect.void : connection.write(answer)
}

/** What a message came to: an agency's question is answered with its winners. */
type Outcome = "taken" | "refused" | Agency
type StepFailure = Superseded | ConnectionLost

const converse = Effect.fnUntraced(function* (
  peer: Peer,
  dialect: BookDialect,
  progress: Progress,
  onLeave: OnLeave
) {
  const lottery = yield* Lottery

  const takeBets = Effect.fnUntraced(function* ({ agency, batch, last, messages }: Run) {
    if (progress.finished) {
      return yield* new BadMessage({ reason: "no bet can follow the last batch", agency })
    }
    yield* lottery.admit(agency)
    yield* authorize(peer, agency)
    progress.upload ??= yield* lottery.upload(agency, onLeave)
    const { upload } = progress
    if (agency !== upload.agency) return yield* anotherAgency(upload.agency, agency)
    yield* Intake.logStored(agency, batch, yield* upload.store(batch, last))
    yield* peer.accepted
    progress.finished = last
    yield* peer.connection.write(Buffer.concat(Array(messages).fill(dialect.stored)))
    return "taken" as const
  })

  const takeQuestion = Effect.fnUntraced(function* ({
    agency
  }: Question): Effect.fn.Return<Outcome, BadMessage | UnknownAgency | Unauthorized, Scope.Scope> {
    yield* lottery.admit(agency)
    yield* authorize(peer, agency)
    const { finished, upload } = progress
    if (upload === undefined) {
      yield* lottery.attend(agency, onLeave)
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

  const refuseBets = Effect.fnUntraced(function* (refusal: Intake.Refusal, count?: number) {
    yield* Intake.logRefused(peer.ip, refusal, { upload: progress.upload, count })
    yield* answerRefused(peer, dialect, progress, refusal.message)
    return "refused" as const
  })

  const refuseQuestion = Effect.fnUntraced(function* (
    refusal: BadMessage | UnknownAgency | Unauthorized
  ) {
    yield* Intake.logQuestionRefused(peer.ip, refusal)
    yield* answerRefused(peer, dialect, progress, refusal.message)
    return "refused" as const
  })

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
    forgetRead(peer)
    return Effect.andThen(
      awaitNext,
      Effect.suspend(() => readInTime(peer, dialect.read(peer, progress.finished)))
    )
  })

  /** Reads a message, and the bets that have come behind bets. */
  const readRun = Effect.gen(function* () {
    const { reader } = peer.connection
    const first = yield* readMessage
    if (first._tag === "Question") return first
    const batches = [first.batch]
    let { last } = first
    let bytes = first.batch.byteLength
    while (!last && bytes < MAX_RUN_BYTES && dialect.beginsWithMessage(reader.buffered())) {
      const next = yield* readWaiting
      if (Result.isFailure(next) || !isMoreOf(first, next.success)) {
        progress.next = next
        break
      }
      batches.push(next.success.batch)
      bytes += next.success.batch.byteLength
      last = next.success.last
    }
    const { agency } = first
    const batch = BetBatch.concat(batches)
    return { _tag: "Bets", agency, batch, last, messages: batches.length } satisfies Run
  })
  const readWaiting = Effect.suspend(() => dialect.read(peer, false)).pipe(
    Effect.map(Result.succeed),
    Effect.catchTag("BadMessage", (bad) => Effect.succeed(Result.fail(bad)))
  )

  // From a whole message to its answer nothing can interrupt: a batch that is being committed is
  // also answered.
  const step = Effect.uninterruptibleMask((restore) =>
    restore(readRun).pipe(
      Effect.flatMap(
        (message): Effect.Effect<Outcome, StepFailure, Scope.Scope> =>
          message._tag === "Bets"
            ? Effect.catchTag(takeBets(message), Intake.REFUSALS, (refusal) =>
                refuseBets(refusal, message.batch.count)
              )
            : Effect.catchTag(
                takeQuestion(message),
                ["BadMessage", "UnknownAgency", "Unauthorized"],
                refuseQuestion
              )
      ),
      Effect.catchTag(["BadMessage", "TooSlow"], (refusal) => refuseBets(refusal))
    )
  )

  for (;;) {
    const outcome = yield* Effect.suspend(() => step)
    if (outcome === "refused") return
    if (outcome !== "taken") {
      const { winners } = dialect
      return yield* tellWinners(peer, outcome, { meanwhile: Effect.never, winners, closes: false })
    }
  }
})

const isMoreOf = (first: Bets, next: Bets | Question): next is Bets =>
  next._tag === "Bets" && next.agency === first.agency

const anotherAgency = (agency: Agency, other: Agency): BadMessage =>
  new BadMessage({
    reason: `expected agency ${agency}, to which this connection belongs, got agency ${other}`,
    agency: other
  })
