/**
 * The store in the course's own format: `bets.csv` as Python's `csv.writer` writes it, and what is
 * not a bet in `bets.csv.state.json`. One sync of the data a group commit.
 */
import { Effect, Layer, Option, Semaphore, Stream } from "effect"
import { ActionLine } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import {
  type AgencyProgress,
  BetStore,
  BetStoreReader,
  StoreBroken,
  type StoredBooks,
  StoreOpenError,
  StoreUnavailable
} from "../BetStore.ts"
import { readBook } from "./CsvBook.ts"
import {
  appendRows,
  type CsvFile,
  cutTail,
  indexRows,
  isDamaged,
  keepTail,
  type Rows,
  readStateOf,
  scanWinners,
  tornBytes
} from "./CsvFile.ts"
import { CsvIndex } from "./CsvIndex.ts"
import { type CsvState, newState, StateChange, writeState } from "./CsvState.ts"
import { Disk, type DiskError, openScoped, syncFolderOf } from "./Disk.ts"
import { drawFromTerms, makeWriter, type Outcome, type Write } from "./EmbeddedStore.ts"
import { MAX_GROUP_BYTES } from "./GroupCommit.ts"
import { acquire, canonicalPath } from "./StoreLock.ts"

export interface Options {
  readonly path: string
  readonly drawId: string
  /** How much at the end can be a write that was cut short; what a commit writes without a sync. */
  readonly tailLimitBytes?: number
}

const toFailure = (error: DiskError): StoreUnavailable | StoreBroken =>
  error.operation === "sync"
    ? new StoreBroken({ reason: error.reason })
    : new StoreUnavailable({ reason: error.reason })

const toUnavailable = (error: DiskError) => new StoreUnavailable({ reason: error.reason })

const toOpenError = (store: string) => (error: DiskError) =>
  new StoreOpenError({
    store,
    reason: error.code === "ENOENT" ? "there is no such file or folder" : error.reason
  })

const progressOf = (index: CsvIndex, state: CsvState, agency: Agency): AgencyProgress => ({
  bets: index.bets(agency),
  finished: state.finished.has(agency),
  told: state.told.has(agency)
})

const progressOfAll = (index: CsvIndex, state: CsvState) => {
  const agencies = new Set([...index.keys(), ...state.finished.keys(), ...state.told])
  return new Map(
    [...agencies]
      .sort((one, other) => one - other)
      .map((agency) => [agency, progressOf(index, state, agency)])
  )
}

const storedDraw = ({ draw, opened, recorded }: CsvState) =>
  opened === undefined
    ? Option.none()
    : Option.some({ draw: drawFromTerms(draw, opened), recorded })

const openOrCreate = (disk: Disk, path: string) =>
  openScoped(disk, path, "r+").pipe(
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => openScoped(disk, path, "wx+")
    )
  )

/** Opens file and state, mends the tail, and leaves both durable. */
const openToWrite = Effect.fnUntraced(
  function* (disk: Disk, options: Options, path: string, tailLimitBytes: number) {
    const file = yield* openOrCreate(disk, path)
    const size = yield* disk.size(file)
    const stored = yield* readStateOf(options.path, disk, path, options.drawId, size > 0)
    const index = new CsvIndex()
    const length = yield* indexRows(disk, file, index, 0, size)
    const torn = yield* tornBytes(options.path, index, stored, length, size, tailLimitBytes)
    const csv: CsvFile = { file, length, index }
    const kept = torn > 0 ? yield* keepTail(disk, path, csv, size) : undefined
    if (torn > 0) yield* cutTail(disk, csv)
    // Also rows that a killed server left may not be on the disk yet, and are soon relied upon.
    yield* disk.sync(file)
    if (torn > 0) {
      const fields = { store: options.path, bytes_cut: torn, kept }
      yield* Effect.logWarning(new ActionLine("store_recovered", "success", fields))
    }
    const state = stored ?? newState(options.drawId)
    if (stored === undefined) yield* writeState(disk, path, state)
    yield* syncFolderOf(disk, path)
    return { csv, state }
  },
  (effect, _disk, options) =>
    Effect.catchTag(effect, "DiskError", (error) => Effect.fail(toOpenError(options.path)(error)))
)

/** What a group of writes comes to, before anything of it is written. */
const plan = (csv: CsvFile, state: CsvState, writes: ReadonlyArray<Write>) => {
  const change = new StateChange(state)
  const rows: Array<Rows> = []
  const held = new Map<Agency, number>()
  const heldOf = (agency: Agency) => held.get(agency) ?? csv.index.bets(agency)
  const append = (write: Extract<Write, { kind: "append" }>): Outcome => {
    const bets = heldOf(write.agency)
    if (change.hasFinished(write.agency)) return { kind: "alreadyFinished", bets }
    if (bets !== write.position) return { kind: "conflict", held: bets }
    if (write.count > 0) rows.push(write)
    const now = bets + write.count
    held.set(write.agency, now)
    if (!write.last) return { kind: "done" }
    return change.apply({ kind: "finish", agency: write.agency, bets: now }, now)
  }
  const outcomes = writes.map((write) =>
    write.kind === "append"
      ? append(write)
      : change.apply(write, write.kind === "finish" ? heldOf(write.agency) : 0)
  )
  return { change, rows, outcomes }
}

/** Opens the store to write it, under its lock. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const { drawId, tailLimitBytes = MAX_GROUP_BYTES } = options
  const disk = yield* Disk
  const path = yield* canonicalPath(options.path)
  yield* acquire(options.path, path)
  const opened = yield* openToWrite(disk, options, path, tailLimitBytes)
  const { csv } = opened
  let state = opened.state
  /** Something that was not acknowledged lies behind the durable rows and could not be cut. */
  let tailIsDirty = false

  const cutDirtyTail = Effect.gen(function* () {
    if (!tailIsDirty) return
    yield* cutTail(disk, csv)
    tailIsDirty = false
  })

  const writeRows = Effect.fnUntraced(function* (rows: ReadonlyArray<Rows>) {
    yield* cutDirtyTail
    if (rows.length === 0) return
    tailIsDirty = true
    yield* appendRows(disk, csv, rows, tailLimitBytes).pipe(
      // After a failed sync nothing is touched any more, for nothing can be known.
      Effect.tapError((error) =>
        // Where it cannot be cut now it is before the next write, which fails until then.
        error.operation === "sync" ? Effect.void : Effect.ignore(cutDirtyTail)
      )
    )
    tailIsDirty = false
  })

  const saveState = Effect.fnUntraced(function* (changed: CsvState) {
    yield* writeState(disk, path, changed)
    state = changed
  })

  const commit = Effect.fnUntraced(function* (writes: ReadonlyArray<Write>) {
    const { change, rows, outcomes } = plan(csv, state, writes)
    yield* writeRows(rows)
    if (!change.changed) return outcomes
    return yield* saveState(change.result).pipe(
      Effect.as(outcomes),
      Effect.catchIf(
        (error) => error.operation !== "sync",
        (error) => Effect.succeed(withoutState(writes, outcomes, error.reason))
      )
    )
  }, Effect.mapError(toFailure))

  const { breakNow: _, ...writer } = yield* makeWriter(drawId, commit)
  const books: StoredBooks = {
    draw: Effect.sync(() => storedDraw(state)),
    progress: Effect.sync(() => progressOfAll(csv.index, state)),
    book: (agency, from) => readBook(disk, csv, agency, from)
  }
  return BetStore.of({
    ...books,
    ...writer,
    progressOf: (agency) => Effect.sync(() => progressOf(csv.index, state, agency)),
    winners: (winningNumber) =>
      Effect.suspend(() => scanWinners(disk, { ...csv }, winningNumber)).pipe(
        Effect.mapError(toUnavailable)
      )
  })
})

/**
 * The outcomes of a group whose rows are durable, but not its change of the state. A last batch
 * is refused then although its rows are held: sent again they are compared, and finish the book.
 */
const withoutState = (
  writes: ReadonlyArray<Write>,
  outcomes: ReadonlyArray<Outcome>,
  reason: string
): ReadonlyArray<Outcome> =>
  outcomes.map((outcome, index) => {
    const write = writes[index]!
    const isStored = write.kind === "append" && !write.last && outcome.kind === "done"
    return isStored ? outcome : { kind: "unavailable", reason }
  })

/** Opens the store to read it, beside whoever writes it. */
export const makeReader = Effect.fnUntraced(function* (options: Options) {
  const { path: store, drawId } = options
  const disk = yield* Disk
  const path = yield* canonicalPath(store)
  const file = yield* openScoped(disk, path, "r").pipe(Effect.mapError(toOpenError(store)))
  let csv: CsvFile = { file, length: 0, index: new CsvIndex() }
  /** Two who refreshed the index at once would count the same rows twice. */
  const permit = yield* Semaphore.make(1)

  /** Reads what was added since it was last asked; the state first, which is never ahead then. */
  const refresh = Effect.fnUntraced(
    function* () {
      const size = yield* disk.size(file)
      const state = yield* readStateOf(store, disk, path, drawId, size > 0)
      const now = yield* disk.size(file)
      // The server cut what it had not acknowledged: what was read of it is not to be relied on.
      const read = now < csv.length ? { file, length: 0, index: new CsvIndex() } : csv
      const length = yield* indexRows(disk, file, read.index, read.length, now)
      csv = { file, length, index: read.index }
      // A server may be writing the last row; a whole line that is not a row is damage.
      if (yield* isDamaged(disk, file, length, now)) {
        const reason = `damaged at byte ${length}: what stands there is not a bet`
        return yield* new StoreOpenError({ store, reason })
      }
      return state ?? newState(drawId)
    },
    Effect.catchTag("DiskError", (error) => Effect.fail(toOpenError(store)(error)))
  )

  yield* refresh()
  const refreshed = permit
    .withPermit(refresh())
    .pipe(Effect.mapError((error) => new StoreUnavailable({ reason: error.reason })))
  return BetStoreReader.of({
    draw: Effect.map(refreshed, storedDraw),
    progress: Effect.map(refreshed, (state) => progressOfAll(csv.index, state)),
    book: (agency, from) =>
      Stream.unwrap(Effect.map(refreshed, () => readBook(disk, csv, agency, from)))
  })
})

/** The store in the CSV file at `path`, which is made where it is not. */
export const layer = (path: string, drawId: string): Layer.Layer<BetStore, StoreOpenError> =>
  Layer.effect(BetStore, make({ path, drawId }))

/** The CSV file at `path`, to be read beside whoever writes it. */
export const layerReader = (
  path: string,
  drawId: string
): Layer.Layer<BetStoreReader, StoreOpenError> =>
  Layer.effect(BetStoreReader, makeReader({ path, drawId }))
