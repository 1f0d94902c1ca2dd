/**
 * The barrier between the books and the winners, in two steps. Once every agency has finished, the
 * books are closed for good and, in a draw with a key, sealed; once the number is known, the draw
 * is recorded and every waiting agency learns its winners. Each step is recorded once, by whichever
 * server comes first, and a server that starts between two of them goes on from what is recorded.
 */
import { Clock, Deferred, Effect, FiberHandle, Option } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { Draw, WinningDocuments } from "../../domain/Draw.ts"
import { type Beacon, randomnessOf, winningNumberOf } from "../../domain/seal/Quicknet.ts"
import { type SealKey, showKey } from "../../protocol/notes/SignedNote.ts"
import { BetStore, DamagedBet, StoreUnavailable } from "../store/BetStore.ts"
import { numberOf } from "../store/Closing.ts"
import { missedBecause, type Phase, phaseOf, roundOf } from "../store/DrawPhase.ts"
import type { DrawMissed, StoredDraw } from "../store/StoredDraw.ts"
import * as DrawLog from "./DrawLog.ts"
import type { Standings } from "./Standing.ts"
import * as AgencyEvidence from "./sealed/AgencyEvidence.ts"
import * as Sealing from "./sealed/Sealing.ts"

/** Public endpoints of drand. */
const DRAND_URLS: ReadonlyArray<string> = ["https://api.drand.sh", "https://drand.cloudflare.com"]

export interface Options {
  /** Signs the seal; the draw has its public key. */
  readonly sealKey?: SealKey | undefined
  /** Where a round of drand is fetched; if there are none, an operator must give the beacon. */
  readonly drandUrls?: ReadonlyArray<string>
}

interface Surroundings extends Options {
  readonly draw: Draw
  readonly opened: StoredDraw
  readonly standings: Pick<Standings, "now" | "awaited">
  /** Reads the progress of the books again and applies it. */
  readonly applyProgress: Effect.Effect<void, StoreUnavailable>
  /** Asks for another `advance` soon. */
  readonly lookAgain: Effect.Effect<unknown>
}

interface HeldDraw {
  readonly winningNumber: number
  readonly documents: ReadonlyMap<Agency, WinningDocuments | DamagedBet>
  /** The signed result of an agency, in a sealed draw. */
  readonly resultOf: (agency: Agency) => string | undefined
}

/** Dies if the draw is not sealed with this key. */
export const checkKey = ({ sealKey }: Draw, { sealKey: key }: Options): Effect.Effect<void> =>
  sealKey === (key && showKey(key.verifier))
    ? Effect.void
    : Effect.die(new Error("the key that signs is not the key of the draw"))

/** Loaded on demand: a draw whose number does not come from drand does not need it. */
const loadDrand = Effect.promise(() => import("./sealed/Drand.ts"))

export const make = Effect.fnUntraced(function* ({
  applyProgress,
  draw,
  drandUrls = DRAND_URLS,
  lookAgain,
  opened,
  sealKey,
  standings
}: Surroundings) {
  const store = yield* BetStore
  const held = yield* Deferred.make<HeldDraw, DrawMissed>()
  const sealed = yield* Deferred.make<Sealing.SignedEntries>()
  const fetching = yield* FiberHandle.make()
  let latest = opened
  let fetched: Beacon | undefined
  let hasRecordedDraw = false
  let isNumberAwaited = false
  let isMissed = false

  const refresh = Effect.map(store.draw, (found) => {
    latest = Option.getOrThrow(found)
  })

  /** Signs the recorded entries, or reads the recorded seal. */
  const sign = Effect.fnUntraced(function* (key: SealKey) {
    const seal = yield* Sealing.signEntries(draw, key)
    yield* refresh
    if (!latest.drawn) {
      yield* DrawLog.sealed(draw, seal, yield* store.progress, roundOf(latest))
    }
    yield* Deferred.succeed(sealed, seal)
  })

  const recordResult = Effect.fnUntraced(function* (
    key: SealKey,
    winningNumber: number,
    documents: HeldDraw["documents"]
  ) {
    const countOf = (agency: Agency) => {
      const own = documents.get(agency) ?? []
      return own instanceof DamagedBet ? undefined : own.length
    }
    const { beacon } = latest
    const seal = yield* Deferred.await(sealed)
    return yield* AgencyEvidence.recordResult(draw, key, seal, { beacon, countOf, winningNumber })
  })

  /** Opens the barrier of a recorded draw. */
  const open = Effect.fnUntraced(function* (winningNumber: number) {
    const documents = new Map<Agency, WinningDocuments | DamagedBet>()
    for (const [agency, bets] of yield* store.winners) {
      const own = bets instanceof DamagedBet ? bets : Array.from(bets, ({ document }) => document)
      documents.set(agency, own)
    }
    const resultOf =
      sealKey === undefined
        ? () => undefined
        : yield* recordResult(sealKey, winningNumber, documents)
    if (hasRecordedDraw) yield* DrawLog.drawn(yield* store.progress, documents)
    yield* Deferred.succeed(held, { winningNumber, documents, resultOf })
  })

  /** Records the number and the draw; then opens the barrier. */
  const record = Effect.fn("Lottery.draw")(function* (winningNumber: number) {
    if (latest.winningNumber === undefined) yield* store.recordNumber(winningNumber, fetched)
    yield* refresh
    // From now on no book changes, but one may have been discarded and its agency excluded.
    yield* applyProgress
    if (yield* store.recordDraw) hasRecordedDraw = true
    yield* open(winningNumber)
    yield* Effect.annotateCurrentSpan("lottery.agencies", standings.now().expected)
  })

  const fetch = Effect.fnUntraced(
    function* (round: number) {
      const { fetchRound } = yield* loadDrand
      fetched = yield* fetchRound(round, drandUrls)
      yield* lookAgain
    },
    Effect.catchDefect((defect) => DrawLog.fetchDied(draw.id, defect))
  )

  const awaitNumber = Effect.gen(function* () {
    const round = roundOf(latest)
    const line =
      round === undefined ? DrawLog.waitingForNumber(draw.id) : DrawLog.waitingForRound(round)
    if (!isNumberAwaited) yield* line
    isNumberAwaited = true
    if (round === undefined || drandUrls.length === 0) return
    yield* FiberHandle.run(fetching, fetch(round.round), { onlyIfMissing: true })
  })

  /** Takes the steps that can be taken now. */
  const holdDraw = Effect.gen(function* () {
    if (Sealing.hasEntries(draw) && latest.sealedAt === undefined) {
      yield* Sealing.recordEntries(draw)
      yield* refresh
    }
    if (sealKey !== undefined && !(yield* Deferred.isDone(sealed))) yield* sign(sealKey)
    const fromBeacon = fetched && winningNumberOf(draw.id, randomnessOf(fetched.signature))
    const winningNumber = numberOf(latest) ?? fromBeacon
    if (winningNumber === undefined) return yield* awaitNumber
    // Another server or an operator may have given the number.
    yield* FiberHandle.clear(fetching)
    yield* record(winningNumber)
  })

  const miss = Effect.fnUntraced(function* (error: DrawMissed) {
    isMissed = true
    yield* DrawLog.missed(error)
    yield* Deferred.fail(held, error)
  })

  /** Only a promised round is missed for ever; with a delay the draw is sealed for a later one. */
  const missOrSealAgain = (error: DrawMissed) => {
    if (draw.source._tag === "drand" && "round" in draw.source.at) return miss(error)
    const reason = `round ${error.round} was published before the books were closed for good`
    return Effect.fail(new StoreUnavailable({ reason }))
  }

  /** Fails the barrier if the draw is missed; returns whether it is. */
  const missIfDue = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (missedBecause(draw.id, latest, now) === undefined) return false
    // Another server may have sealed the draw in time since `latest` was read, or be about to: a
    // step waits for those of other servers.
    yield* store.closeIfDue
    yield* refresh
    const missed = missedBecause(draw.id, latest, now)
    if (missed !== undefined) yield* miss(missed)
    return missed !== undefined
  })

  const isDone = () => Deferred.isDoneUnsafe(held)

  return {
    /** Reads the seal and the winners that are recorded. */
    start: Effect.gen(function* () {
      if (sealKey !== undefined && latest.sealed) yield* sign(sealKey)
      if (latest.drawn && latest.winningNumber !== undefined) yield* open(latest.winningNumber)
      else yield* missIfDue
    }),
    /** Takes the steps that can be taken now; `isClosed` if no agency is awaited. */
    advance: Effect.fnUntraced(function* (stored: StoredDraw, isClosed: boolean) {
      if (isDone()) return
      latest = stored
      if ((yield* missIfDue) || !isClosed) return
      yield* Effect.catchTag(holdDraw, "DrawMissed", missOrSealAgain)
    }),
    evidence: sealKey && AgencyEvidence.make(draw, sealKey, sealed),
    /** Waits for the draw. */
    held: Deferred.await(held),
    /** Whether the draw is held or missed. */
    isDecided: isDone,
    isHeld: () => isDone() && !isMissed,
    /** When the draw is missed unless it is sealed before, in milliseconds since the epoch. */
    missedAt: () => (isDone() || latest.sealedAt !== undefined ? undefined : roundOf(latest)?.at),
    round: () => roundOf(latest),
    phase: (): Phase => {
      if (isDone()) return isMissed ? "missed" : "drawn"
      // The clock is read at looks only, one of which comes at `missedAt`.
      return phaseOf(draw.id, latest, standings.awaited(), Number.NEGATIVE_INFINITY)
    }
  }
})
