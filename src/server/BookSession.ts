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
import type { Peer } from "./Peer.ts"
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

/** Holds the conversation to its end, which is also the connection's. */
export const run = Effect.fnUntraced(function* (peer: Peer, dialect: BookDialect) {
  const onSuperseded = yield* Deferred.make<never, Superseded>()
  yield* converse(peer, dialect, onSuperseded).pipe(
    Effect.raceFirst(Deferred.await(onSuperseded)),
    Effect.catchTag("Superseded", (superseded) =>
      Effect.andThen(
        logAction("close_connection", "success", { ip: peer.ip, error: superseded.message }),
        answerRefused(peer, dialect, superseded.message, false)
      )
    )
  )
})

const answerRefused = (peer: Peer, dialect: BookDialect, reason: string, finished: boolean) => {
  const bytes = dialect.refused(reason, finished)
  return bytes === undefined ? Effect.void : peer.connection.write(bytes)
}

/** What a message came to: an agency's question is answered with its winners. */
type Outcome = "taken" | "refused" | Agency
type StepFailure = BadMessage | UnknownAgency | ConnectionLost

const converse = Effect.fnUntraced(function* (
  peer: Peer,
  dialect: BookDialect,
  onSuperseded: Deferred.Deferred<never, Superseded>
) {
  const lottery = yield* Lottery
  let upload: Upload | undefined
  let finished = false

  const refuse = Effect.fnUntraced(function* (refusal: Intake.Refusal, count?: number) {
    yield* Intake.logRefused(peer.ip, refusal, { upload, count })
    yield* answerRefused(peer, dialect, refusal.message, finished)
    return "refused" as const
  })

  const takeBets = Effect.fnUntraced(function* (bets: Bets) {
    if (finished) return yield* new BadMessage({ reason: "no bet can follow the last batch" })
    if (upload === undefined) {
      yield* lottery.admit(bets.agency)
      upload = yield* lottery.takeOver(bets.agency, onSuperseded)
    } else if (bets.agency !== upload.agency) {
      return yield* anotherAgency(upload.agency, bets.agency)
    }
    yield* Intake.takeBatch(upload, bets.batch, bets.last)
    finished = bets.last
    yield* peer.connection.write(dialect.stored)
    return "taken" as const
  })

  const takeQuestion = Effect.fnUntraced(function* ({
    agency
  }: Question): Effect.fn.Return<Outcome, BadMessage | UnknownAgency> {
    if (upload === undefined) {
      yield* lottery.admit(agency)
    } else if (agency !== upload.agency) {
      return yield* anotherAgency(upload.agency, agency)
    } else if (!finished) {
      return yield* new BadMessage({
        reason: "expected the last batch before the question",
        agency
      })
    }
    return agency
  })

  // From a whole message to its answer nothing can interrupt: a batch that is being committed is
  // also answered.
  const step = Effect.uninterruptibleMask((restore) =>
    restore(dialect.read(peer, finished)).pipe(
      Effect.flatMap(
        (message): Effect.Effect<Outcome, StepFailure, Scope.Scope> =>
          message._tag === "Bets"
            ? Effect.catchTag(takeBets(message), Intake.REFUSALS, (refusal) =>
                refuse(refusal, message.batch.count)
              )
            : takeQuestion(message)
      ),
      Effect.catchTag(["BadMessage", "UnknownAgency"], (refusal) => refuse(refusal))
    )
  )

  for (;;) {
    const outcome = yield* Effect.suspend(() => step)
    if (outcome === "refused") return
    if (outcome !== "taken") return yield* tellWinners(peer, dialect, outcome)
  }
})

const anotherAgency = (agency: Agency, other: Agency): BadMessage =>
  new BadMessage({
    reason: `expected agency ${agency}, to which this connection belongs, got agency ${other}`,
    agency: other
  })

const tellWinners = Effect.fnUntraced(function* (peer: Peer, dialect: BookDialect, agency: Agency) {
  const lottery = yield* Lottery
  const documents = yield* lottery.winnersOf(agency)
  yield* Effect.fromResult(dialect.winners(documents)).pipe(
    Effect.flatMap(peer.connection.write),
    Effect.andThen(lottery.told(agency)),
    Effect.uninterruptible,
    Effect.catchTag(["BadMessage", "StoreUnavailable", "StoreBroken"], ({ message }) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, ip: peer.ip, error: message })
    )
  )
})
