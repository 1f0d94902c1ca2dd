/**
 * Looks at the draw and at this server again and again, and tells the boards that are open what
 * changed. Looks are spaced so that they take a small part of the processor's time, however many
 * agencies there are. A board that does not read gets only the newest data once it reads again.
 */
import { Clock, Effect, Option, PubSub, Stream } from "effect"
import { logAction } from "../../../domain/ActionLog.ts"
import { monotonicMillis } from "../../../domain/MonotonicTime.ts"
import type { StoreUnavailable } from "../../store/BetStore.ts"
import type { DrawStanding } from "../DrawStanding.ts"
import type { RatesEvent } from "../LiveEvents.ts"
import { MAX_SILENCE_MILLIS } from "../LiveLimits.ts"
import { StandingTopic, WholeTopic } from "./LiveTopics.ts"
import * as ServerTopics from "./ServerTopics.ts"
import * as SharedLook from "./SharedLook.ts"

export interface LiveFeed {
  /** What one board is sent, beginning with everything. */
  readonly events: Stream.Stream<Uint8Array>
}

/** Time between two looks while a board is open. */
const LOOK_MILLIS = 500

/** Time between two points of `RatesEvent`, and how many of them are kept: ten minutes. */
const RATE_MILLIS = 2000
export const MAX_RATES = 300

export const STORE_UNAVAILABLE = "the store is unavailable"
export const STORE_SILENT = "the store does not answer"
const INTERNAL_ERROR = "internal error"

/** How soon a browser connects again. */
const RETRY = Buffer.from("retry: 1000\n\n")

/** Newly stored bets a second, over the last ten minutes; `at` is monotonic. */
const makeRates = () => {
  let perSecond: ReadonlyArray<number> = []
  let before: { readonly bets: number; readonly at: number; readonly due: number } | undefined
  /** Returns the points if there is a new one. A late look adds one for each that is missing. */
  return (bets: number, at: number): ReadonlyArray<number> | undefined => {
    if (before === undefined) {
      before = { bets, at, due: at + RATE_MILLIS }
      return perSecond
    }
    // A look may come a moment early.
    const missing = Math.floor((at + LOOK_MILLIS / 2 - before.due) / RATE_MILLIS) + 1
    if (missing === 0) return undefined
    // Books that are discarded or excluded make the total smaller.
    const added = Math.max(0, bets - before.bets)
    const rate = Math.round((1000 * added) / (at - before.at))
    perSecond = [...perSecond, ...Array(Math.min(missing, MAX_RATES)).fill(rate)].slice(-MAX_RATES)
    // Looks that are always late by a part of a point would otherwise shorten the ten minutes.
    before = { bets, at, due: before.due + missing * RATE_MILLIS }
    return perSecond
  }
}

/** Makes the feed, which runs until the scope closes. `isWatched` tells if a board is open. */
export const make = Effect.fnUntraced(function* (
  look: Effect.Effect<DrawStanding, StoreUnavailable>,
  about: ServerTopics.About,
  isWatched: () => boolean
) {
  const standings = new StandingTopic()
  const own = yield* ServerTopics.make(about)
  const rates = new WholeTopic<RatesEvent>("rates")
  const topics = [standings, own.server, rates, own.refused]
  /** A tick says that there may be something new; the topics have it. */
  const ticks = yield* PubSub.sliding<void>({ capacity: 1, replay: 1 })
  const nextRate = makeRates()

  /** Tells the boards what is new. */
  const tell = Effect.fnUntraced(function* (problem: string | null) {
    yield* own.note(problem)
    yield* PubSub.publish(ticks, undefined)
  })

  /** Lets the boards hear something during a look that takes long, as at a store that hangs. */
  const meanwhile = Effect.forever(Effect.delay(tell(STORE_SILENT), MAX_SILENCE_MILLIS))

  const tick = Effect.gen(function* () {
    const standing = yield* Effect.option(Effect.raceFirst(look, meanwhile))
    if (Option.isSome(standing)) {
      standings.set(standing.value)
      const perSecond = nextRate(standing.value.total.bets, yield* monotonicMillis)
      if (perSecond !== undefined) {
        const until = yield* Clock.currentTimeMillis
        rates.set({ everyMillis: RATE_MILLIS, until, perSecond })
      }
    }
    // Without the reason, which may name machines; the log has it.
    yield* tell(Option.isSome(standing) ? null : STORE_UNAVAILABLE)
  }).pipe(
    // Only this loop tells the boards, so a defect is logged and the next round tries again.
    Effect.catchDefect(
      Effect.fnUntraced(function* (defect) {
        if (own.problem() !== INTERNAL_ERROR) {
          yield* logAction("live_board", "fail", { error: `${INTERNAL_ERROR}: ${defect}` })
        }
        yield* tell(INTERNAL_ERROR)
      })
    )
  )

  yield* Effect.gen(function* () {
    const start = yield* monotonicMillis
    yield* tick
    const took = (yield* monotonicMillis) - start
    const pause = isWatched() ? LOOK_MILLIS : RATE_MILLIS
    yield* Effect.sleep(Math.max(pause - took, SharedLook.restAfter(took)))
  }).pipe(Effect.forever, Effect.forkScoped)

  const events = Stream.fromPubSub(ticks).pipe(
    Stream.mapAccum(
      () => topics.map(() => 0),
      (seen) => {
        const versions = topics.map((topic) => topic.version())
        const frames = topics.flatMap((topic, index) =>
          versions[index]! > seen[index]! ? [topic.since(seen[index]!)] : []
        )
        return [versions, frames] as const
      }
    )
  )
  return { events: Stream.concat(Stream.make(RETRY), events) } satisfies LiveFeed
})
