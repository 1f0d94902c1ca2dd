/**
 * The store in the course's own format: `bets.csv` as Python's `csv.writer` writes it, and what is
 * not a bet in `bets.csv.state.json`. One sync of the data a group commit.
 */
import { Effect, Layer, Scope, Stream } from "effect"
import { ActionLine } from "../../../domain/ActionLog.ts"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch } from "../../../domain/BetBatch.ts"
import { BetStore, BetStoreReader, type PageOf, type StoreOpenError } from "../BetStore.ts"
import * as DiscardRequest from "../embedded/DiscardRequest.ts"
import { Disk, DiskError, openScoped, syncFolderOf } from "../embedded/Disk.ts"
import { makeWriter } from "../embedded/EmbeddedStore.ts"
import { MAX_GROUP_BYTES } from "../embedded/GroupCommit.ts"
import { acquire, canonicalPath } from "../embedded/StoreLock.ts"
import { pagedBook } from "../PagedBook.ts"
import { readPage } from "./CsvBook.ts"
import { CsvBookHashes } from "./CsvBookHashes.ts"
import { makeCommit, type OpenCsv } from "./CsvCommit.ts"
import { checkBooks, checkSize, keepTail, tornBytes } from "./CsvDamage.ts"
import { type SharedFile, share } from "./CsvDiscard.ts"
import { cutTail, indexRows, scanWinners } from "./CsvFile.ts"
import { CsvIndex } from "./CsvIndex.ts"
import { progressOf, progressOfAll, storedDraw, toOpenError, toUnavailable } from "./CsvProgress.ts"
import { makeReader } from "./CsvReader.ts"
import { type FoundState, newState } from "./CsvState.ts"
import { checkDraw, readState, writeState } from "./CsvStateFile.ts"

export interface Options {
  readonly path: string
  readonly drawId: string
  /** How much at the end can be a write that was cut short; what a commit writes without a sync. */
  readonly tailLimitBytes?: number
  /** How much is synced at most before the state says so. */
  readonly unnotedLimitBytes?: number
}

/** While bets come in, and when no more do. */
const NOTED_EVERY = "1 second"

/** A disk that does not answer keeps nobody from ending: what was acknowledged is on it. */
const CLOSE_TIMEOUT = "10 seconds"
const MAX_UNNOTED = 64 * 1024 * 1024

const openOrCreate = (disk: Disk, path: string) =>
  openScoped(disk, path, "r+").pipe(
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => openScoped(disk, path, "wx+")
    )
  )

/** Opens the file. One of which something was stored must be there: no other is made then. */
const openFile = (disk: Disk, path: string, state: FoundState | undefined) =>
  state?.synced
    ? Effect.mapError(openScoped(disk, path, "r+"), (error) =>
        error.code === "ENOENT" ? missingFile(path, state.synced) : error
      )
    : openOrCreate(disk, path)

const missingFile = (path: string, synced: number | undefined) =>
  new DiskError({
    operation: "open",
    code: undefined,
    reason:
      `the file is missing, and ${path}.state.json says that ${synced} bytes were stored in it ` +
      "(restore both from the same moment; for a new draw name another store)"
  })

/** Opens file and state, cuts what a crash left behind the bets, and leaves both durable. */
const openToWrite = Effect.fnUntraced(
  function* (disk: Disk, options: Options, path: string, tailLimitBytes: number) {
    const { path: store, drawId } = options
    const found = yield* readState(store, disk, path)
    const scope = yield* Scope.fork(yield* Effect.scope)
    const file = yield* Scope.provide(openFile(disk, path, found), scope)
    const size = yield* disk.size(file)
    yield* checkDraw(store, found, drawId, size > 0)
    yield* checkSize(store, found, size)
    const csv: SharedFile = { file, length: 0, index: new CsvIndex(), scope, users: 1 }
    const hashes = new CsvBookHashes(found?.finished.keys() ?? [])
    csv.length = yield* indexRows(disk, csv, size, hashes)
    const torn = yield* tornBytes(store, disk, csv, found, size, tailLimitBytes)
    const finished = yield* checkBooks(store, csv, hashes, found)
    const kept = torn > 0 ? yield* keepTail(disk, path, csv, size) : undefined
    if (torn > 0) yield* cutTail(disk, csv)
    // Also rows that a killed server left may not be on the disk yet, and are soon relied upon.
    yield* disk.sync(file)
    if (torn > 0) {
      const fields = { store, bytes_cut: torn, kept }
      yield* Effect.logWarning(new ActionLine("store_recovered", "success", fields))
    }
    const synced = csv.length
    const state = { ...(found ?? newState(drawId)), finished, synced, discarding: false }
    if (found?.synced !== synced || found.discarding) yield* writeState(disk, path, file, state)
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
  const { drawId, tailLimitBytes = MAX_GROUP_BYTES, unnotedLimitBytes = MAX_UNNOTED } = options
  const store = yield* openToWrite(disk, options, path, tailLimitBytes)
  // Files are closed after the last note, which looks at them.
  const scope = yield* Scope.fork(yield* Effect.scope)
  const limits = { unsyncedBytes: tailLimitBytes, unnotedBytes: unnotedLimitBytes }
  const { commit, noteLength } = makeCommit(disk, path, store, limits, scope)
  const { betweenCommits, breakNow: _, ...writer } = yield* makeWriter(drawId, commit)
  // What fails to be noted now is noted later, and a failed sync has broken the store.
  const note = Effect.ignore(betweenCommits(noteLength))
  yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(note), CLOSE_TIMEOUT))
  yield* Effect.sleep(NOTED_EVERY).pipe(
    Effect.andThen(Effect.uninterruptible(note)),
    Effect.forever,
    Effect.forkScoped
  )
  const page = (agency: Agency, of: PageOf) =>
    Effect.suspend(() =>
      of.edition === (store.editions.get(agency) ?? 0)
        ? Effect.scoped(Effect.flatMap(share(store), (csv) => readPage(disk, csv, agency, of)))
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
      share(store).pipe(
        Effect.flatMap((csv) => scanWinners(disk, { ...csv }, winningNumber)),
        Effect.scoped,
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
