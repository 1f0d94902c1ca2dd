/**
 * Commits the draw, discards and groups of writes to an open CSV store. A group's rows are written
 * before the state. Every write of the state also notes how much of the file is synced.
 */
import { Effect, type Scope } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { StoreBroken, StoreUnavailable } from "../BetStore.ts"
import { keptBecause } from "../Closing.ts"
import { DiskError, writeAll } from "../embedded/Disk.ts"
import type { Outcome, Write } from "../embedded/Write.ts"
import type { KnownBooks } from "./CsvBook.ts"
import { lengthWithout, release, rewriteWithout, type SharedFile } from "./CsvDiscard.ts"
import { writeEntries } from "./CsvEntries.ts"
import { type PlannedWrite, planOf } from "./CsvPlan.ts"
import { type Rows, sizeOf, writeRows } from "./CsvRow.ts"
import { type CsvState, type DiscardedBook, withoutAgency, writeState } from "./CsvState.ts"
import { scanWinners, writeWinners } from "./CsvWinners.ts"

/** A CSV store that is open for writing. Only commits change it, one at a time. */
export interface OpenCsv extends KnownBooks {
  readonly path: string
  /** Closes the files that commits open. */
  readonly scope: Scope.Scope
  /** Maximum bytes written between two syncs, and so the longest torn tail after a crash. */
  readonly unsyncedBytes: number
  /** Maximum synced bytes that the state does not include yet. */
  readonly unnotedBytes: number
  readonly editions: Map<Agency, number>
  csv: SharedFile
  /** The state as last written. */
  state: CsvState
  /** Unacknowledged bytes follow the durable rows and could not be cut. */
  tailIsDirty: boolean
  /** The encoded rows of a group; reused by the next group. */
  buffer: Uint8Array
}

/** Whether the store can continue. After a failed sync the state of the disk is unknown. */
const isRecoverable = (error: DiskError): boolean => error.operation !== "sync"

const cutTail = Effect.fnUntraced(function* (store: OpenCsv) {
  if (!store.tailIsDirty) return
  yield* store.csv.disk.truncate(store.csv.file, store.csv.length)
  store.tailIsDirty = false
})

/** Appends rows and syncs them. The index and the length grow only once all rows are durable. */
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

/** Replaces the state. Fails if the path no longer leads to the file: its bets would be lost. */
const putState = Effect.fnUntraced(function* (store: OpenCsv, state: CsvState) {
  const { csv, path } = store
  if (!(yield* csv.disk.isAt(csv.file, path))) {
    const reason = `${path} was removed or replaced by another program`
    return yield* new DiskError({ operation: "sync", reason })
  }
  store.state = yield* writeState(csv, path, state)
})

const saveState = (store: OpenCsv, changed: CsvState) =>
  putState(store, { ...changed, synced: store.csv.length, discarding: false })

/** Notes how much is synced unless the state is up to date. The next call retries a failure. */
const note = (store: OpenCsv) =>
  Effect.suspend(() => {
    const { csv, state } = store
    if (state.synced === csv.length && !state.discarding) return Effect.void
    return Effect.catchIf(saveState(store, state), isRecoverable, () => Effect.void)
  })

/**
 * The outcomes if the rows are durable but the new state is not. A last batch is refused although
 * its rows are stored: when it is sent again they are compared, and the book is finished.
 */
const withoutState = (
  writes: ReadonlyArray<PlannedWrite>,
  outcomes: ReadonlyArray<Outcome>,
  reason: string
) =>
  outcomes.map((outcome, index): Outcome => {
    const write = writes[index]!
    const isStored = write.kind === "append" && write.last === undefined && outcome.kind === "done"
    return isStored ? outcome : { kind: "unavailable", reason }
  })

/**
 * Whether rows are for a discarded book while the state says that the discard is under way. After a
 * crash they would look like the book's old rows, and the discard as if it had not happened.
 */
const beginsDiscardedBook = (
  { state: { discarded, discarding } }: OpenCsv,
  writes: ReadonlyArray<PlannedWrite>
): boolean =>
  discarding &&
  writes.some((write) => write.kind === "append" && write.agency === discarded.at(-1)?.agency)

const add = Effect.fnUntraced(function* (store: OpenCsv, writes: ReadonlyArray<PlannedWrite>) {
  if (beginsDiscardedBook(store, writes)) yield* saveState(store, store.state)
  const { outcomes, rows, state } = planOf(store, writes)
  yield* cutTail(store)
  if (rows.length > 0) {
    store.tailIsDirty = true
    yield* appendRows(store, rows).pipe(
      // If the cut fails, the next write tries again first.
      Effect.tapError((error) =>
        isRecoverable(error) ? Effect.ignore(cutTail(store)) : Effect.void
      )
    )
    store.tailIsDirty = false
  }
  if (state === store.state) {
    if (store.csv.length - state.synced >= store.unnotedBytes) yield* note(store)
    return outcomes
  }
  return yield* saveState(store, state).pipe(
    Effect.as(outcomes),
    Effect.catchIf(isRecoverable, ({ reason }) =>
      Effect.succeed(withoutState(writes, outcomes, reason))
    )
  )
})

/**
 * Writes the state first, so that a crash leaves a book that is stored but not finished. A finished
 * book without its rows, or a file shorter than its synced length, would count as damage. If the
 * rewrite fails, the book stays unfinished, because the operator does not want it in the draw.
 */
const dropRows = Effect.fnUntraced(function* (store: OpenCsv, without: CsvState, agency: Agency) {
  const { csv, path, scope, state } = store
  yield* putState(store, {
    ...without,
    synced: lengthWithout(csv, agency),
    discards: without.discards + 1,
    discarding: true
  })
  store.csv = yield* Effect.catchIf(
    rewriteWithout(csv, path, agency, scope),
    isRecoverable,
    Effect.fnUntraced(function* ({ operation, reason: cause }) {
      store.state = { ...store.state, discarded: state.discarded }
      yield* note(store)
      const reason =
        `${cause}; the bets of agency ${agency} are still stored, but its book is not finished: ` +
        "discard it again, or have the agency send it again"
      return yield* new DiskError({ operation, reason })
    })
  )
  store.tailIsDirty = false
  yield* release(csv)
})

/** How many discards the state remembers. A command repeats one within seconds. */
const KEPT_DISCARDS = 100

const discard = Effect.fnUntraced(function* (
  store: OpenCsv,
  { act, agency }: Extract<Write, { kind: "discard" }>
): Effect.fn.Return<Outcome, DiskError> {
  const { csv, editions, state } = store
  const done = state.discarded.find((book) => book.act === act)
  if (done !== undefined) return { kind: "discarded", bets: done.bets }
  const because = keptBecause(state.opened, { excluded: state.excluded.has(agency) })
  if (because !== undefined) return { kind: "kept", because }
  const bets = csv.index.bets(agency)
  const book: DiscardedBook = { act, agency, bets }
  const discarded = [...state.discarded, book].slice(-KEPT_DISCARDS)
  const without = { ...withoutAgency(state, agency), discarded }
  if (bets > 0) yield* dropRows(store, without, agency)
  else yield* saveState(store, without)
  editions.set(agency, (editions.get(agency) ?? 0) + 1)
  if (bets > 0) yield* note(store)
  return { kind: "discarded", bets }
})

const holdDraw = Effect.fnUntraced(function* (
  store: OpenCsv
): Effect.fn.Return<Outcome, DiskError> {
  const { csv, path, state } = store
  const { excluded, opened } = state
  if (opened?.winningNumber === undefined) return { kind: "notNumbered" }
  if (opened.drawn) return { kind: "alreadyRecorded" }
  const found = yield* scanWinners(csv, opened.winningNumber, excluded)
  const winners = yield* writeWinners(csv, path, found)
  yield* saveState(store, { ...state, winners, opened: { ...opened, drawn: true } })
  return { kind: "done" }
})

/** The entries are durable before the state says so. */
const recordEntries = Effect.fnUntraced(function* (
  store: OpenCsv,
  write: Extract<Write, { kind: "recordEntries" }>
) {
  const { outcomes, state } = planOf(store, [write])
  if (state === store.state) return outcomes
  const entries = yield* writeEntries(store.csv, store.path, write.entries)
  yield* saveState(store, { ...state, entries })
  return outcomes
})

const isPlanned = (write: Write): write is PlannedWrite =>
  write.kind !== "discard" && write.kind !== "recordDraw"

/** Discards, entries and the draw are alone in their commits. */
const run = (store: OpenCsv, writes: ReadonlyArray<Write>) => {
  const [first] = writes
  if (first?.kind === "discard") return Effect.map(discard(store, first), (done) => [done])
  if (first?.kind === "recordDraw") return Effect.map(holdDraw(store), (done) => [done])
  if (first?.kind === "recordEntries") return recordEntries(store, first)
  return add(store, writes.filter(isPlanned))
}

const toFailure = (error: DiskError) => {
  const { reason } = error
  return isRecoverable(error) ? new StoreUnavailable({ reason }) : new StoreBroken({ reason })
}

export const commit = (store: OpenCsv, writes: ReadonlyArray<Write>) =>
  Effect.mapError(run(store, writes), toFailure)

export const noteSynced = (store: OpenCsv) => Effect.mapError(note(store), toFailure)
