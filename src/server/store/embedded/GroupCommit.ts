/**
 * The writing half of both embedded stores, with group commit: writes that arrive during a commit
 * share the next one, so that a thousand small agencies cost only a few syncs. Operators' acts are
 * committed alone, and overtake the writes that wait.
 */
import { Clock, Deferred, Effect, Option, Semaphore, type Tracer } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import type { BetBatch } from "../../../domain/BetBatch.ts"
import type { Beacon } from "../../../domain/seal/Quicknet.ts"
import { entriesOf, isBook, type Seal } from "../../../domain/seal/Seal.ts"
import {
  AlreadyFinished,
  BookMismatch,
  Conflict,
  Discarded,
  Excluded,
  type StoreBroken,
  StoreUnavailable
} from "../BetStore.ts"
import type { AppendOptions, FinishOptions } from "../BookOptions.ts"
import type { SealedAgency } from "../Closing.ts"
import * as CommitMetrics from "../CommitMetrics.ts"
import { lateSeal } from "../DrawPhase.ts"
import {
  BookKept,
  CloseNotMoved,
  type DrawTerms,
  EntriesOutdated,
  ensureSameTerms,
  NotAllFinished,
  NotExcluded,
  NotNumbered,
  NotSealed,
  OtherNumber
} from "../StoredDraw.ts"
import { newDraw } from "./DrawSteps.ts"
import type { Act, GroupedWrite, Outcome, Write } from "./Write.ts"

/** Maximum bytes of writes per commit. A single larger write is committed alone. */
export const MAX_GROUP_BYTES = 8 * 1024 * 1024
/**
 * The smallest group that is handed to the store while another commit is on its way. It takes
 * longer to insert than to sync. Smaller groups wait, so that more writes share a sync.
 */
export const MIN_AHEAD_BYTES = 128 * 1024
/** Minimum cost of a write in addition to its rows. */
const WRITE_OVERHEAD_BYTES = 64
/** Maximum bytes that the CSV file adds to a canonical row: an agency, a comma and a CR. */
const ROW_OVERHEAD_BYTES = 12

const sizeOf = (write: Write): number => {
  const rows = write.kind === "append" ? write.size + write.count * ROW_OVERHEAD_BYTES : 0
  return WRITE_OVERHEAD_BYTES + rows
}

export type CommitFailure = StoreUnavailable | StoreBroken

interface Group {
  readonly writes: Array<Write>
  /** One per write, or one failure for all of them. */
  readonly outcomes: Deferred.Deferred<ReadonlyArray<Outcome>, CommitFailure>
  bytes: number
  /** The span of an act, which another fiber may commit. */
  readonly parent?: Tracer.AnySpan | undefined
}

const countBets = (writes: ReadonlyArray<Write>): number =>
  writes.reduce((bets, write) => bets + (write.kind === "append" ? write.count : 0), 0)

interface WriterOptions {
  readonly maxGroupBytes?: number
  /**
   * How many commits may be on their way at once. The store must keep their order, and must store
   * nothing once one of them has failed with a StoreBroken.
   */
  readonly commitsAtOnce?: number
}

/**
 * Makes the writing half of a store from its `commit`, which durably stores all writes that it does
 * not refuse. After a StoreBroken it is not called again.
 */
export const makeWriter = Effect.fnUntraced(function* (
  drawId: string,
  commit: (writes: ReadonlyArray<Write>) => Effect.Effect<ReadonlyArray<Outcome>, CommitFailure>,
  { commitsAtOnce = 1, maxGroupBytes = MAX_GROUP_BYTES }: WriterOptions = {}
) {
  /** One permit for each commit on its way. */
  const permits = yield* Semaphore.make(commitsAtOnce)
  /** Held by the oldest group that waits. */
  const turn = yield* Semaphore.make(1)
  const brokenBy = yield* Deferred.make<never, StoreBroken>()
  /** The group that still accepts writes. Its first write waits for a permit. */
  let forming: Group | undefined
  /** Acts that wait for a permit. */
  const acts: Array<Group> = []

  const unlessBroken = <A>(write: Effect.Effect<A, CommitFailure>) =>
    Effect.suspend(() => (Deferred.isDoneUnsafe(brokenBy) ? Deferred.await(brokenBy) : write)).pipe(
      Effect.tapErrorTag("StoreBroken", (error) => Deferred.fail(brokenBy, error))
    )

  const commitGroup = (group: Group) =>
    Effect.suspend(() => {
      if (forming === group) forming = undefined
      const { parent, writes } = group
      const bets = countBets(writes)
      // A commit is traced as a part of what its first write is for.
      return Effect.withSpan(
        unlessBroken(CommitMetrics.timed(bets, commit(writes))),
        "Store.commit",
        {
          parent,
          attributes: { "lottery.writes": writes.length, "lottery.bets": bets }
        }
      )
    }).pipe(CommitMetrics.countingFailures, Deferred.into(group.outcomes))

  /** Acts come before any group that waits: they only wait for the commits on their way. */
  const commitActs = Effect.whileLoop({
    while: () => acts.length > 0,
    body: () => commitGroup(acts.shift()!),
    step: () => {}
  })

  const submitAct = Effect.fnUntraced(function* (act: Act) {
    const parent = Option.getOrUndefined(yield* Effect.option(Effect.currentSpan))
    const group: Group = { writes: [act], outcomes: Deferred.makeUnsafe(), bytes: 0, parent }
    acts.push(group)
    // The next write that gets a permit commits the act, or this fiber if there is none before.
    yield* Effect.forkDetach(permits.withPermit(commitActs))
    return yield* outcomeIn(group, 0)
  }, Effect.uninterruptible)

  const outcomeIn = Effect.fnUntraced(function* ({ outcomes }: Group, index: number) {
    const outcome = (yield* Deferred.await(outcomes))[index]!
    if (outcome.kind !== "unavailable") return outcome
    return yield* new StoreUnavailable({ reason: outcome.reason })
  })

  /** Waits for all commits but the one whose permit the caller holds. */
  const untilNoneOnTheirWay = permits.withPermits(commitsAtOnce - 1)(Effect.void)

  /** Commits a write. Once submitted, it runs to completion. */
  const submit = Effect.fnUntraced(function* (write: GroupedWrite) {
    const bytes = sizeOf(write)
    const isFirst = forming === undefined || forming.bytes + bytes > maxGroupBytes
    if (isFirst) forming = { writes: [], outcomes: Deferred.makeUnsafe(), bytes: 0 }
    const group = forming!
    const index = group.writes.push(write) - 1
    group.bytes += bytes
    // The first write commits the group. However it ends, the others end with it, so that none is
    // left waiting. They get their outcomes before the next small group begins, so that their next
    // writes can join that group.
    if (isFirst) {
      yield* turn.take(1)
      yield* permits.withPermit(
        Effect.suspend(() =>
          group.bytes < MIN_AHEAD_BYTES ? untilNoneOnTheirWay : Effect.void
        ).pipe(
          Effect.andThen(turn.release(1)),
          Effect.andThen(commitActs),
          Effect.andThen(commitGroup(group))
        )
      )
    }
    return yield* outcomeIn(group, index)
  }, Effect.uninterruptible)

  const append = Effect.fnUntraced(function* (
    agency: Agency,
    position: number,
    { byteLength: size, count, runs }: BetBatch,
    { edition, last }: AppendOptions = {}
  ) {
    const write = { kind: "append", agency, position, runs, size, count, last, edition } as const
    const outcome = yield* submit(write)
    if (outcome.kind === "otherEdition") return yield* new Discarded({ agency })
    if (outcome.kind === "isExcluded") return yield* new Excluded({ agency })
    if (outcome.kind === "conflict") {
      return yield* new Conflict({ agency, position, expected: outcome.stored })
    }
    if (outcome.kind === "alreadyFinished") {
      return yield* new AlreadyFinished({ agency, bets: outcome.bets })
    }
  })

  const finish = Effect.fnUntraced(function* (
    agency: Agency,
    bets: number,
    { edition, ...digest }: FinishOptions
  ) {
    const outcome = yield* submit({ kind: "finish", agency, bets, digest, edition })
    if (outcome.kind === "otherEdition") return yield* new Discarded({ agency })
    if (outcome.kind === "isExcluded") return yield* new Excluded({ agency })
    if (outcome.kind === "bookMismatch") {
      return yield* new BookMismatch({ agency, bets, stored: outcome.stored })
    }
  })

  const openDraw = Effect.fnUntraced(function* (terms: DrawTerms) {
    const outcome = yield* submit({ kind: "openDraw", terms })
    if (outcome.kind !== "draw") return newDraw(terms)
    return yield* ensureSameTerms(drawId, outcome.stored, terms)
  })

  const exclusionsIn = (outcome: Outcome) => (outcome.kind === "excluded" ? outcome.exclusions : [])

  const exclude = Effect.fnUntraced(function* (agencies: ReadonlyArray<Agency>) {
    const outcome = yield* submitAct({ kind: "exclude", agencies })
    if (outcome.kind === "notExcluded") return yield* new NotExcluded(outcome.problem)
    return exclusionsIn(outcome)
  })

  const closeIfDue = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    return exclusionsIn(yield* submit({ kind: "closeIfDue", now }))
  })

  const moveClose = Effect.fnUntraced(function* (closesAt: number | undefined) {
    const now = yield* Clock.currentTimeMillis
    const outcome = yield* submitAct({ kind: "moveClose", closesAt, now })
    if (outcome.kind === "notMoved") return yield* new CloseNotMoved(outcome.problem)
  })

  const recordEntries = Effect.fnUntraced(function* (seal: Seal) {
    const late = lateSeal(drawId, seal, yield* Clock.currentTimeMillis)
    const outcome = yield* submitAct({
      kind: "recordEntries",
      entries: entriesOf(seal).join(""),
      sealedAt: seal.sealedAt,
      agencies: seal.agencies.map(
        (of): SealedAgency =>
          isBook(of) ? { agency: of.agency, bets: of.bets, sha256: of.sha256 } : of
      ),
      isLate: late !== undefined
    })
    if (outcome.kind === "missing") return yield* new NotAllFinished({ missing: outcome.agencies })
    if (outcome.kind === "entriesOutdated") {
      return yield* new EntriesOutdated({ agency: outcome.agency })
    }
    if (outcome.kind === "missed" && late !== undefined) return yield* late
    return outcome.kind === "done"
  })

  const recordNote = (note: "seal" | "result", text: string) =>
    Effect.asVoid(submitAct({ kind: "recordNote", note, text }))

  const recordNumber = Effect.fnUntraced(function* (winningNumber: number, beacon?: Beacon) {
    const outcome = yield* submitAct({ kind: "recordNumber", winningNumber, beacon })
    if (outcome.kind === "missing") return yield* new NotAllFinished({ missing: outcome.agencies })
    if (outcome.kind === "notSealed") return yield* new NotSealed()
    if (outcome.kind === "otherNumber") {
      return yield* new OtherNumber({ winningNumber: outcome.winningNumber })
    }
    return outcome.kind === "done"
  })

  const recordDraw = Effect.gen(function* () {
    const outcome = yield* submitAct({ kind: "recordDraw" })
    if (outcome.kind === "notNumbered") return yield* new NotNumbered()
    return outcome.kind === "done"
  })

  const told = (agency: Agency) => Effect.asVoid(submit({ kind: "told", agency }))

  const discard = Effect.fnUntraced(function* (agency: Agency, act: string) {
    const outcome = yield* submitAct({ kind: "discard", agency, act })
    if (outcome.kind === "kept") {
      return yield* new BookKept({ agency, drawId, because: outcome.because })
    }
    return outcome.kind === "discarded" ? outcome.bets : 0
  })

  return {
    append,
    finish,
    openDraw,
    exclude,
    closeIfDue,
    moveClose,
    recordEntries,
    recordNote,
    recordNumber,
    recordDraw,
    told,
    discard,
    broken: Deferred.await(brokenBy),
    /** Runs one of the store's own writes between two commits. */
    betweenCommits: (write: Effect.Effect<void, CommitFailure>) =>
      permits.withPermits(commitsAtOnce)(unlessBroken(write)),
    /** Reports a failed sync that a store detects between commits. */
    breakNow: (error: StoreBroken) => Deferred.fail(brokenBy, error)
  }
})
