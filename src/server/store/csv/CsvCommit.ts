/**
 * Commits groups of writes to an open CSV store, rows first, then the state; and discards. Whenever
 * the state is written it says how much of the file is synced.
 */
import { Effect, type Scope } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { StoreBroken, StoreUnavailable } from "../BetStore.ts"
import { DiskError, writeAll } from "../embedded/Disk.ts"
import type { Outcome, Write } from "../embedded/GroupCommit.ts"
import type { KnownBooks } from "./CsvBook.ts"
import { giveUp, lengthWithout, rewriteWithout, type SharedFile } from "./CsvDiscard.ts"
import { type Addition, planOf } from "./CsvPlan.ts"
import { type Rows, sizeOf, writeRows } from "./CsvRow.ts"
import { type CsvState, withoutAgency, writeState } from "./CsvState.ts"

/** A CSV store that is open to be written. Only commits change it, one at a time. */
export interface OpenCsv extends KnownBooks {
  readonly path: string
  /** What commits open is closed with it. */
  readonly scope: Scope.Scope
  /** How much is written without a sync. A crash may leave no more than a torn tail can be. */
  readonly unsyncedBytes: number
  /** How much is synced at most before the state says so. */
  readonly unnotedBytes: number
  readonly editions: Map<Agency, number>
  csv: SharedFile
  /** As it was last written. */
  state: CsvState
  /** Something that was not acknowledged lies behind the durable rows and could not be cut. */
  tailIsDirty: boolean
  /** Where rows are put together for the file; used again by the next group. */
  buffer: Uint8Array
}

/** A failure after which the store can go on. After a failed sync nothing can be known. */
const isPassing = (error: DiskError): boolean => error.operation !== "sync"

const cutTail = Effect.fnUntraced(function* (store: OpenCsv) {
  if (!store.tailIsDirty) return
  yield* store.csv.disk.truncate(store.csv.file, store.csv.length)
  store.tailIsDirty = false
})

/**
 * Writes rows behind the durable ones and syncs them. The index and the length grow only when all
 * of them are durable.
 */
const appendRows = Effect.fnUntraced(function* (store: OpenCsv, batches: ReadonlyArray<Rows>) {
  const { disk, file, length } = store.csv
  const size = batches.reduce((sum, rows) => sum + sizeOf(rows), 0)
  if (store.buffer.length < size) store.buffer = new Uint8Array(size)
  let end = 0
  const marks = batches.map((rows) => {
    const start = end
    end += sizeOf(rows)
    return writeRows(rows, store.buffer, start)
  })
  for (let start = 0; start < size; start += store.unsyncedBytes) {
    const part = store.buffer.subarray(start, Math.min(start + store.unsyncedBytes, size))
    yield* writeAll(disk, file, part, length + start)
    yield* disk.syncData(file)
  }
  for (const [index, rows] of batches.entries()) {
    const bytes = sizeOf(rows)
    store.csv.index.add(rows.agency, store.csv.length, rows.count, bytes, marks[index])
    store.csv.length += bytes
  }
})

/** Replaces the state, unless the file has lost its name: its bets could not be found again. */
const putState = Effect.fnUntraced(function* (store: OpenCsv, state: CsvState) {
  const { csv, path } = store
  if (!(yield* csv.disk.isAt(csv.file, path))) {
    const reason = `${path} was removed or replaced by another program`
    return yield* new DiskError({ operation: "sync", reason })
  }
  yield* writeState(csv, path, state)
  store.state = state
})

const saveState = (store: OpenCsv, changed: CsvState) =>
  putState(store, { ...changed, synced: store.csv.length, discarding: false })

/** Notes how much is synced, unless it is noted; if that fails it is tried again in a second. */
const note = (store: OpenCsv) =>
  Effect.suspend(() => {
    const { csv, state } = store
    if (state.synced === csv.length && !state.discarding) return Effect.void
    return Effect.catchIf(saveState(store, state), isPassing, () => Effect.void)
  })

/**
 * The outcomes if the rows are durable and the change of the state is not. A last batch is refused
 * although its rows are stored: when it is sent again they are compared, and it finishes the book.
 */
const withoutState = (
  writes: ReadonlyArray<Addition>,
  outcomes: ReadonlyArray<Outcome>,
  reason: string
) =>
  outcomes.map((outcome, index): Outcome => {
    const write = writes[index]!
    const isStored = write.kind === "append" && write.last === undefined && outcome.kind === "done"
    return isStored ? outcome : { kind: "unavailable", reason }
  })

const add = Effect.fnUntraced(function* (store: OpenCsv, writes: ReadonlyArray<Addition>) {
  const { outcomes, rows, state } = planOf(store, writes)
  yield* cutTail(store)
  if (rows.length > 0) {
    store.tailIsDirty = true
    yield* appendRows(store, rows).pipe(
      // If it cannot be cut now it is before the next write, which fails until then.
      Effect.tapError((error) => (isPassing(error) ? Effect.ignore(cutTail(store)) : Effect.void))
    )
    store.tailIsDirty = false
  }
  if (state === store.state) {
    if (store.csv.length - state.synced >= store.unnotedBytes) yield* note(store)
    return outcomes
  }
  return yield* saveState(store, state).pipe(
    Effect.as(outcomes),
    Effect.catchIf(isPassing, ({ reason }) =>
      Effect.succeed(withoutState(writes, outcomes, reason))
    )
  )
})

/**
 * The state goes first: a crash after it leaves a book that is stored but not finished, while a
 * finished book without its rows, or a file that is shorter than what was synced, would be damage.
 * If the rows cannot be rewritten the book stays unfinished: the operator did not want it drawn.
 */
const dropRows = Effect.fnUntraced(function* (store: OpenCsv, without: CsvState, agency: Agency) {
  const { csv, path, scope } = store
  yield* putState(store, {
    ...without,
    synced: lengthWithout(csv, agency),
    discards: without.discards + 1,
    discarding: true
  })
  store.csv = yield* Effect.catchIf(
    rewriteWithout(csv, path, agency, scope),
    isPassing,
    Effect.fnUntraced(function* ({ operation, reason: cause }) {
      yield* note(store)
      const reason =
        `${cause}; the bets of agency ${agency} are still stored, but not as a finished book: ` +
        "ask again, or have it sent again"
      return yield* new DiskError({ operation, reason })
    })
  )
  store.tailIsDirty = false
  yield* giveUp(csv)
})

const discard = Effect.fnUntraced(function* (
  store: OpenCsv,
  agency: Agency
): Effect.fn.Return<Outcome, DiskError> {
  const { csv, editions, state } = store
  if (state.recorded) return { kind: "alreadyRecorded" }
  const without = withoutAgency(state, agency)
  const bets = csv.index.bets(agency)
  if (bets > 0) yield* dropRows(store, without, agency)
  else if (without !== state) yield* saveState(store, without)
  editions.set(agency, (editions.get(agency) ?? 0) + 1)
  if (bets > 0) yield* note(store)
  return { kind: "discarded", bets }
})

const isAddition = (write: Write): write is Addition => write.kind !== "discard"

const toFailure = (error: DiskError) => {
  const { reason } = error
  return isPassing(error) ? new StoreUnavailable({ reason }) : new StoreBroken({ reason })
}

/** Commits a discard, or writes that add something. */
export const commit = (store: OpenCsv, writes: ReadonlyArray<Write>) => {
  const [first] = writes
  const committed =
    first?.kind === "discard"
      ? Effect.map(discard(store, first.agency), (outcome) => [outcome])
      : add(store, writes.filter(isAddition))
  return Effect.mapError(committed, toFailure)
}

/** Writes the state if it does not say yet how much is synced. */
export const noteSynced = (store: OpenCsv) => Effect.mapError(note(store), toFailure)
