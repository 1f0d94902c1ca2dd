/**
 * The store in the course's own format: `bets.csv` as Python's `csv.writer` writes it, and what is
 * not a bet in `bets.csv.state.json`. One sync of the data a group commit.
 */
import { Effect, Layer, Option, Semaphore, Stream } from "effect"
import { ActionLine } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import {
  type AgencyProgress,
  BetStore,
  BetStoreReader,
  type PageOf,
  StoreOpenError,
  StoreUnavailable
} from "../BetStore.ts"
import { readPage } from "./CsvBook.ts"
import { makeCommit, type OpenCsv } from "./CsvCommit.ts"
import {
  type CsvFile,
  cutTail,
  indexRows,
  isDamaged,
  keepTail,
  readStateOf,
  scanWinners,
  tornBytes
} from "./CsvFile.ts"
import { CsvIndex } from "./CsvIndex.ts"
import { type CsvState, newState, writeState } from "./CsvState.ts"
import * as DiscardRequest from "./DiscardRequest.ts"
import { Disk, type DiskError, openScoped, syncFolderOf } from "./Disk.ts"
import { drawFromTerms } from "./DrawTerms.ts"
import { makeWriter } from "./EmbeddedStore.ts"
import { MAX_GROUP_BYTES } from "./GroupCommit.ts"
import { pagedBook } from "./PagedBook.ts"
import { acquire, canonicalPath } from "./StoreLock.ts"

export interface Options {
  readonly path: string
  readonly drawId: string
  /** How much at the end can be a write that was cut short; what a commit writes without a sync. */
  readonly tailLimitBytes?: number
}

const toUnavailable = (error: DiskError) => new StoreUnavailable({ reason: error.reason })

const toOpenError = (store: string) => (error: DiskError) =>
  new StoreOpenError({
    store,
    reason: error.code === "ENOENT" ? "there is no such file or folder" : error.reason
  })

const progressOf = ({ csv, editions, state }: OpenCsv, agency: Agency): AgencyProgress => ({
  bets: csv.index.bets(agency),
  finished: state.finished.has(agency),
  told: state.told.has(agency),
  edition: editions.get(agency) ?? 0
})

const progressOfAll = (held: OpenCsv) => {
  const { csv, editions, state } = held
  // Also of an agency whose book is gone it is known that it is another one now.
  const agencies = new Set([
    ...csv.index.keys(),
    ...state.finished.keys(),
    ...state.told,
    ...editions.keys()
  ])
  return new Map(
    [...agencies]
      .sort((one, other) => one - other)
      .map((agency) => [agency, progressOf(held, agency)])
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
    const opened: OpenCsv = { csv, state, editions: new Map() }
    return opened
  },
  (effect, _disk, options) =>
    Effect.catchTag(effect, "DiskError", (error) => Effect.fail(toOpenError(options.path)(error)))
)

/**
 * Opens the store at the canonical `path` to write it, for someone who knows that nobody else
 * does. It touches nothing but the `Disk`, and hears of no other process.
 */
export const openStore = Effect.fnUntraced(function* (disk: Disk, path: string, options: Options) {
  const { drawId, tailLimitBytes = MAX_GROUP_BYTES } = options
  const store = yield* openToWrite(disk, options, path, tailLimitBytes)
  const commit = makeCommit(disk, path, store, tailLimitBytes, yield* Effect.scope)
  const { breakNow: _, ...writer } = yield* makeWriter(drawId, commit)
  const page = (agency: Agency, of: PageOf) =>
    Effect.suspend(() =>
      of.edition === (store.editions.get(agency) ?? 0)
        ? readPage(disk, store.csv, agency, of)
        : Effect.succeed(BetBatch.empty)
    )
  const progressOfOne = (agency: Agency) => Effect.sync(() => progressOf(store, agency))
  return BetStore.of({
    ...writer,
    draw: Effect.sync(() => storedDraw(store.state)),
    progress: Effect.sync(() => progressOfAll(store)),
    book: (agency, from) => pagedBook(agency, from, progressOfOne(agency), page),
    page,
    progressOf: progressOfOne,
    winners: (winningNumber) =>
      Effect.suspend(() => scanWinners(disk, { ...store.csv }, winningNumber)).pipe(
        Effect.mapError(toUnavailable)
      ),
    changes: Stream.never
  })
})

/** Opens the store to write it, under its lock. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const disk = yield* Disk
  const path = yield* canonicalPath(options.path)
  yield* acquire(options.path, path)
  yield* DiscardRequest.clear(path)
  const store = yield* openStore(disk, path, options)
  const changes = yield* DiscardRequest.serve(path, options.drawId, store.discard)
  return BetStore.of({ ...store, changes })
})

/** Whoever only reads knows of no discard. */
const NO_EDITIONS: OpenCsv["editions"] = new Map()

/**
 * Opens the store to read it, beside whoever writes it. Where a book is discarded meanwhile, the
 * bets are those of the file as it was opened.
 */
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
    progress: Effect.map(refreshed, (state) =>
      progressOfAll({ csv, state, editions: NO_EDITIONS })
    ),
    book: (agency, from) => {
      const progressOfOne = Effect.map(refreshed, (state) =>
        progressOf({ csv, state, editions: NO_EDITIONS }, agency)
      )
      return pagedBook(agency, from, progressOfOne, (_, of) => readPage(disk, csv, agency, of))
    }
  })
})

/**
 * Drops the book of an agency from a store that is there: by itself where nobody has the store
 * open, else through the one who has. Gives how many bets were dropped.
 */
export const discard = Effect.fnUntraced(function* (options: Options, agency: Agency) {
  const disk = yield* Disk
  // Looks first: to open a store to write it would make it.
  yield* Effect.scoped(openScoped(disk, yield* canonicalPath(options.path), "r")).pipe(
    Effect.mapError(toOpenError(options.path))
  )
  return yield* DiscardRequest.discard(make(options), { ...options, agency })
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
