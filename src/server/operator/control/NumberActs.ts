/** Checks whether an operator may give the winning number, or a beacon that it follows from. */
import { Clock, Data, Effect, Option } from "effect"
import { isGenuine } from "../../../domain/seal/BeaconCheck.ts"
import { type Beacon, randomnessOf, winningNumberOf } from "../../../domain/seal/Quicknet.ts"
import { missedBecause, roundOf } from "../../store/DrawPhase.ts"
import { NotAllFinished, NotSealed, type StoredDraw } from "../../store/StoredDraw.ts"

/** The winning number of the draw comes from elsewhere. */
export class WrongSource extends Data.TaggedError("WrongSource")<{ readonly isDrand: boolean }> {
  override get message(): string {
    return this.isDrand
      ? "the winning number of the draw comes from drand: give its round with --beacon"
      : "the winning number of the draw does not come from drand"
  }
}

/** The beacon is of another round than the one that decides the number. */
export class WrongRound extends Data.TaggedError("WrongRound")<{
  readonly expected: number
  readonly round: number
}> {
  override get message(): string {
    return `expected the beacon of round ${this.expected}, got round ${this.round}`
  }
}

/** Nobody but quicknet can sign a round, so this signature is forged or damaged. */
export class ForgedBeacon extends Data.TaggedError("ForgedBeacon")<{ readonly round: number }> {
  override get message(): string {
    return `the signature of round ${this.round} is not quicknet's`
  }
}

const opened = (stored: Option.Option<StoredDraw>) =>
  Option.match(stored, {
    onNone: () => Effect.fail(new NotAllFinished({ missing: [] })),
    onSome: Effect.succeed
  })

/** Fails if the number of the draw comes from drand: then nobody can announce it. */
export const checkNumber = Effect.fnUntraced(function* (stored: Option.Option<StoredDraw>) {
  const { source } = yield* opened(stored)
  if (source._tag === "drand") return yield* new WrongSource({ isDrand: true })
})

/** Returns the number that follows from a beacon; fails if it is not the one of the draw. */
export const checkBeacon = Effect.fnUntraced(function* (
  drawId: string,
  stored: Option.Option<StoredDraw>,
  beacon: Beacon
) {
  const draw = yield* opened(stored)
  if (draw.source._tag !== "drand") return yield* new WrongSource({ isDrand: false })
  const missed = missedBecause(drawId, draw, yield* Clock.currentTimeMillis)
  if (missed !== undefined) return yield* missed
  const expected = roundOf(draw)?.round
  if (expected === undefined) return yield* new NotSealed()
  const { round, signature } = beacon
  if (round !== expected) return yield* new WrongRound({ expected, round })
  if (!(yield* isGenuine(beacon))) return yield* new ForgedBeacon({ round })
  return winningNumberOf(drawId, randomnessOf(signature))
})
