/**
 * The conversation that both dialects of the old systems have: an agency's book from its start,
 * batch by batch, each acknowledged once stored; then the question, and at the draw the agency's
 * own winners. What is said how is the dialect's.
 */
import { Deferred, Effect, type Result, type Scope } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import type { WinningDocuments } from "../domain/Draw.ts"
import type { EndOfStream } from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../protocol/PeerConnection.ts"
import * as Intake from "./Intake.ts"
import { Lottery, type UnknownAgency } from "./Lottery.ts"
import { linger, type Peer } from "./Peer.ts"
import type { Superseded, Upload } from "./Upload.ts"

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
  ) => Effect.Effect<Bets | Question, BadMessage | EndOfStream | ConnectionLost>
  /** The acknowledgement of a batch. */
  readonly stored: Uint8Array
  /** Why a message was refused, where the dialect can say so. */
  readonly refused: (reason: string, finished: boolean) => Uint8Array | undefined
  readonly winners: (documents: WinningDocuments) => Result.Result<Uint8Array, BadMessage>
}

/** How far a conversation has come. */
interface Progress {
  upload: Upload | undefined
  /** The last batch was accepted. */
  finished: boolean
  /** The winners are on their way: nothing more is said to this peer. */
  answered: boolean
}

/** Holds the conversation to its end, which is also the connection's. */
export const run = Effect.fnUntraced(function* (peer: Peer, dialect: BookDialect) {
  const onSuperseded = yield* Deferred.make<never, Superseded>()
  const progress: Progress = { upload: undefined, finished: false, answered: false }
  yield* converse(peer, dialect, progress, onSuperseded).pipe(
    Effect.raceFirst(Deferred.await(onSuperseded)),
    Effect.catchTag("Superseded", (superseded) =>
      progress.answered
        ? Effect.void
        : Effect.andThen(
            Intake.logRefused(peer.ip, superseded, { upload: progress.upload }),
            answerRefused(peer, dialect, progress, superseded.message)
          )
    ),
    Effect.tapErrorTag(["EndOfStream", "ConnectionLost"], () => logUnfinished(peer, progress))
  )
})

/** Whoever waits for the draw wants to know which agency went away in the middle of its book. */
const logUnfinished = ({ ip }: Peer, { finished, upload }: Progress) =>
  upload === undefined || finished
    ? Effect.void
    : logAction("apuesta_recibida", "in_progress", {
        agencia: upload.agency,
        posicion: upload.position(),
        ip,
        error: "the agency went away before the end of its book"
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
  onSuperseded: Deferred.Deferred<never, Superseded>
) {
  const lottery = yield* Lottery

  const takeBets = Effect.fnUntraced(function* ({ agency, batch, last }: Bets) {
    if (progress.finished) {
      return yield* new BadMessage({ reason: "no bet can follow the last batch", agency })
    }
    yield* lottery.admit(agency)
    progress.upload ??= yield* lottery.upload(agency, onSuperseded)
    const { upload } = progress
    if (agency !== upload.agency) return yield* anotherAgency(upload.agency, agency)
    yield* Intake.takeBatch(upload, batch, last)
    progress.finished = last
    yield* peer.connection.write(dialect.stored)
    return "taken" as const
  })

  const takeQuestion = Effect.fnUntraced(function* ({
    agency
  }: Question): Effect.fn.Return<Outcome, BadMessage | UnknownAgency> {
    yield* lottery.admit(agency)
    const { finished, upload } = progress
    if (upload === undefined) return agency
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

  const refuseQuestion = Effect.fnUntraced(function* (refusal: BadMessage | UnknownAgency) {
    yield* Intake.logQuestionRefused(peer.ip, refusal)
    yield* answerRefused(peer, dialect, progress, refusal.message)
    return "refused" as const
  })

  // From a whole message to its answer nothing can interrupt: a batch that is being committed is
  // also answered.
  const step = Effect.uninterruptibleMask((restore) =>
    restore(dialect.read(peer, progress.finished)).pipe(
      Effect.flatMap(
        (message): Effect.Effect<Outcome, StepFailure, Scope.Scope> =>
          message._tag === "Bets"
            ? Effect.catchTag(takeBets(message), Intake.REFUSALS, (refusal) =>
                refuseBets(refusal, message.batch.count)
              )
            : Effect.catchTag(
                takeQuestion(message),
                ["BadMessage", "UnknownAgency"],
                refuseQuestion
              )
      ),
      Effect.catchTag("BadMessage", (bad) => refuseBets(bad))
    )
  )

  for (;;) {
    const outcome = yield* Effect.suspend(() => step)
    if (outcome === "refused") return
    if (outcome !== "taken") return yield* tellWinners(peer, dialect, progress, outcome)
  }
})

const anotherAgency = (agency: Agency, other: Agency): BadMessage =>
  new BadMessage({
    reason: `expected agency ${agency}, to which this connection belongs, got agency ${other}`,
    agency: other
  })

/** Waits for the draw as long as the agency does, and tells it its winners. */
const tellWinners = Effect.fnUntraced(function* (
  peer: Peer,
  dialect: BookDialect,
  progress: Progress,
  agency: Agency
) {
  const lottery = yield* Lottery
  const { connection, ip } = peer
  const documents = yield* Effect.raceFirst(lottery.winnersOf(agency), connection.lost)
  progress.answered = true
  yield* Effect.fromResult(dialect.winners(documents)).pipe(
    Effect.flatMap(connection.write),
    // The old dialects do not acknowledge winners. An agency counts as told when it has closed, or
    // was there for a while longer; only one whose connection broke does not.
    Effect.andThen(linger(peer)),
    Effect.andThen(lottery.told(agency)),
    Effect.uninterruptible,
    Effect.catchTag(["BadMessage", "StoreBroken"], ({ message }) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, ip, error: message })
    )
  )
})
