/**
 * Commits groups of writes to an open CSV store: rows first, then the state; and discards, each by
 * itself between what comes before and after it. Whenever the state is written it says how much of
 * the file is synced; a timer writes it if nothing else has for a while.
 */
import { Effect, type Scope } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { StoreBroken } from "../BetStore.ts"
import { type Disk, DiskError } from "../embedded/Disk.ts"
import type { Outcome, Write } from "../embedded/EmbeddedStore.ts"
import { giveUp, lengthWithout, rewriteWithout, type SharedFile } from "./CsvDiscard.ts"
import { appendRows, cutTail, type RowBuffer, type Rows } from "./CsvFile.ts"
import { type CsvState, StateChange, withoutAgency } from "./CsvState.ts"
import { writeState } from "./CsvStateFile.ts"

/** What the one who writes a CSV store holds of it. Only commits change it. */
export interface OpenCsv {
  csv: SharedFile
  /** As it was last written. */
  state: CsvState
  /** How many books of an agency were discarded since the store was opened. */
  readonly editions: Map<Agency, number>
}

/** How much a commit writes without a sync, and syncs before the state says so. */
export interface CommitLimits {
  readonly unsyncedBytes: number
  readonly unnotedBytes: number
}

/** A write that adds something. */
type Addition = Exclude<Write, { kind: "discard" }>
/** What is committed in one step: a discard, or the writes between two of them. */
type Run = { readonly discard: Agency } | { readonly additions: Array<Addition> }

const runsOf = (writes: ReadonlyArray<Write>): ReadonlyArray<Run> => {
  const runs: Array<Run> = []
  for (const write of writes) {
    const last = runs.at(-1)
    if (write.kind === "discard") runs.push({ discard: write.agency })
    else if (last !== undefined && "additions" in last) last.additions.push(write)
    else runs.push({ additions: [write] })
  }
  return runs
}

/** What additions come to, before anything of them is written. */
const plan = ({ csv, editions, state }: OpenCsv, writes: ReadonlyArray<Addition>) => {
  const change = new StateChange(state)
  const rows: Array<Rows> = []
  const held = new Map<Agency, number>()
  const heldOf = (agency: Agency) => held.get(agency) ?? csv.index.bets(agency)
  const isOtherEdition = ({ agency, edition }: Extract<Write, { kind: "append" | "finish" }>) =>
    edition !== undefined && edition !== (editions.get(agency) ?? 0)
  const append = (write: Extract<Write, { kind: "append" }>): Outcome => {
    const bets = heldOf(write.agency)
    if (change.hasFinished(write.agency)) return { kind: "alreadyFinished", bets }
    if (bets !== write.position) return { kind: "conflict", held: bets }
    if (write.count > 0) rows.push(write)
    const now = bets + write.count
    held.set(write.agency, now)
    if (write.last === undefined) return { kind: "done" }
    return change.finish(write.agency, { bets: now, ...write.last }, now)
  }
  const outcomes = writes.map((write): Outcome => {
    if (write.kind !== "append" && write.kind !== "finish") return change.apply(write)
    if (isOtherEdition(write)) return { kind: "otherEdition" }
    if (write.kind === "append") return append(write)
    return change.finish(write.agency, write, heldOf(write.agency))
  })
  return { change, rows, outcomes }
}

/**
 * The outcomes of additions whose rows are durable, but not their change of the state. A last
 * batch is refused then although its rows are held: sent again they are compared, and finish the
 * book.
 */
const withoutState = (
  writes: ReadonlyArray<Addition>,
  outcomes: ReadonlyArray<Outcome>,
  reason: string
): ReadonlyArray<Outcome> =>
  outcomes.map((outcome, index) => {
    const write = writes[index]!
    const isStored = write.kind === "append" && write.last === undefined && outcome.kind === "done"
    return isStored ? outcome : { kind: "unavailable", reason }
  })

const toBroken = ({ reason }: DiskError) => new StoreBroken({ reason })

/** A failure after which the store can go on. */
const notDropped = ({ code, operation, reason }: DiskError, agency: Agency): DiskError =>
  new DiskError({
    ...{ code, operation },
    reason:
      `${reason}; the bets of agency ${agency} are still stored, but not as a finished book: ` +
      "ask again, or have it sent again"
  })

const isPassing = (error: DiskError): boolean => error.operation !== "sync"

/**
 * Makes the store's `commit`, and what notes the synced length between two of them. What they open
 * is closed with `scope`.
 */
export const makeCommit = (
  disk: Disk,
  path: string,
  store: OpenCsv,
  limits: CommitLimits,
  scope: Scope.Scope
) => {
  /** Something that was not acknowledged lies behind the durable rows and could not be cut. */
  let tailIsDirty = false
  // One commit at a time uses it.
  const buffer: RowBuffer = { bytes: new Uint8Array(0) }

  const cutDirtyTail = Effect.gen(function* () {
    if (!tailIsDirty) return
    yield* cutTail(disk, store.csv)
    tailIsDirty = false
  })

  const writeRows = Effect.fnUntraced(function* (rows: ReadonlyArray<Rows>) {
    yield* cutDirtyTail
    if (rows.length === 0) return
    tailIsDirty = true
    yield* appendRows(disk, store.csv, rows, buffer, limits.unsyncedBytes).pipe(
      // After a failed sync nothing is touched any more, for nothing can be known.
      Effect.tapError((error) =>
        // Where it cannot be cut now it is before the next write, which fails until then.
        error.operation === "sync" ? Effect.void : Effect.ignore(cutDirtyTail)
      )
    )
    tailIsDirty = false
  })

  /** Nobody would find what is written to a file that has lost its name. */
  const checkFile = Effect.gen(function* () {
    if (yield* disk.isAt(store.csv.file, path)) return
    const reason = `${path} was removed or replaced by another program`
    return yield* new DiskError({ operation: "sync", code: undefined, reason })
  })

  const putState = Effect.fnUntraced(function* (state: CsvState) {
    yield* checkFile
    yield* writeState(disk, path, store.csv.file, state)
    store.state = state
  })

  const saveState = (changed: CsvState) =>
    putState({ ...changed, synced: store.csv.length, discarding: false })

  /** Records how much is synced; if that fails it is tried again within a second. */
  const note = Effect.suspend(() =>
    Effect.catchIf(saveState(store.state), isPassing, () => Effect.void)
  )

  const add = Effect.fnUntraced(function* (writes: ReadonlyArray<Addition>) {
    const { change, rows, outcomes } = plan(store, writes)
    yield* writeRows(rows)
    if (!change.changed) {
      if (store.csv.length - store.state.synced >= limits.unnotedBytes) yield* note
      return outcomes
    }
    return yield* saveState(change.result).pipe(
      Effect.as(outcomes),
      Effect.catchIf(isPassing, (error) =>
        Effect.succeed(withoutState(writes, outcomes, error.reason))
      )
    )
  })

  /**
   * The state goes first: a crash after it leaves a book that is held but not finished, while a
   * finished book without its rows, or a file that is shorter than what was synced, would be
   * damage. If the rows cannot be rewritten the book stays unfinished: the operator
   * did not want it in a draw.
   */
  const dropRows = Effect.fnUntraced(function* (without: CsvState, agency: Agency) {
    const { csv, state } = store
    yield* putState({
      ...without,
      synced: lengthWithout(csv, agency),
      discards: state.discards + 1,
      discarding: true
    })
    store.csv = yield* Effect.catchIf(
      rewriteWithout(disk, path, csv, agency, scope),
      isPassing,
      (error) => Effect.andThen(note, Effect.fail(notDropped(error, agency)))
    )
    tailIsDirty = false
    yield* giveUp(csv)
  })

  const discard = Effect.fnUntraced(function* (
    agency: Agency
  ): Effect.fn.Return<Outcome, DiskError> {
    if (store.state.recorded) return { kind: "alreadyRecorded" }
    const without = withoutAgency(store.state, agency)
    const bets = store.csv.index.bets(agency)
    if (bets > 0) yield* dropRows(without, agency)
    else if (without !== store.state) yield* saveState(without)
    store.editions.set(agency, (store.editions.get(agency) ?? 0) + 1)
    if (bets > 0) yield* note
    return { kind: "discarded", bets }
  })

  const commitRun = (run: Run): Effect.Effect<ReadonlyArray<Outcome>, DiskError> =>
    "discard" in run ? Effect.map(discard(run.discard), (outcome) => [outcome]) : add(run.additions)

  /** A run that fails refuses its own writes, and those after it are still tried. */
  const commit = Effect.fnUntraced(function* (writes: ReadonlyArray<Write>) {
    const outcomes: Array<Outcome> = []
    for (const run of runsOf(writes)) {
      const count = "discard" in run ? 1 : run.additions.length
      const committed = yield* Effect.catchIf(commitRun(run), isPassing, ({ reason }) =>
        Effect.succeed(Array<Outcome>(count).fill({ kind: "unavailable", reason }))
      )
      outcomes.push(...committed)
    }
    return outcomes
  }, Effect.mapError(toBroken))

  /** Writes the state unless it says already how much is synced. */
  const noteLength = Effect.suspend(() => {
    const { csv, state } = store
    const isNoted = state.synced === csv.length && !state.discarding
    return isNoted ? Effect.void : Effect.mapError(note, toBroken)
  })
  return { commit, noteLength }
}
