/**
 * The store in the course's own format: `bets.csv` as Python's `csv.writer` writes it, and the rest
 * in `bets.csv.state.json`. Each group commit syncs the bets once.
 */
import { Effect, Scope, Stream } from "effect"
import { ActionLine } from "../../../domain/ActionLog.ts"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch } from "../../../domain/BetBatch.ts"
import { BetStore } from "../BetStore.ts"
import type { PageRange } from "../BookOptions.ts"
import { Disk, openScoped, syncFolderOf } from "../embedded/Disk.ts"
import { MAX_GROUP_BYTES, makeWriter } from "../embedded/GroupCommit.ts"
import { canonicalPath, lock } from "../embedded/StoreLock.ts"
import { readPage, storedBooks, toOpenError } from "./CsvBook.ts"
import { commit, noteSynced, type OpenCsv } from "./CsvCommit.ts"
import { keepTail, readRows } from "./CsvDamage.ts"
import { share } from "./CsvDiscard.ts"
import { readEntries } from "./CsvEntries.ts"
import { unusable } from "./CsvFile.ts"
import type { CsvIndex } from "./CsvIndex.ts"
import { checkMarks } from "./CsvMarks.ts"
import { type FoundState, newState, readState, VERSION, writeState } from "./CsvState.ts"
import { scanWinners, writeWinners } from "./CsvWinners.ts"

export interface Options {
  readonly path: string
  readonly drawId: string
  /** Maximum bytes that a commit writes without a sync, and so the longest torn tail. */
  readonly tailLimitBytes?: number
  /** Maximum synced bytes that the state does not include yet. */
  readonly unnotedLimitBytes?: number
}

const NOTE_INTERVAL = "1 second"

/** Lets the server exit if the disk hangs. All acknowledged bets are already durable. */
const CLOSE_TIMEOUT = "10 seconds"
const MAX_UNNOTED = 64 * 1024 * 1024

/** Opens the file, or creates it unless the state records stored bytes. */
const openFile = (disk: Disk, path: string, state: FoundState | undefined) =>
  openScoped(disk, path, "r+").pipe(
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => {
        if (!state?.synced) return openScoped(disk, path, "wx+")
        const reason =
          `the file is missing, but ${path}.state.json records ${state.synced} stored bytes ` +
          "(restore both from the same backup; use another store for a new draw)"
        return Effect.fail(unusable(reason))
      }
    )
  )

/** Returns the discards that happened: a crash may have prevented the last one. */
const discardedIn = ({ discarded, discarding }: FoundState, index: CsvIndex) =>
  discarding && index.bets(discarded.at(-1)?.agency ?? 0) > 0 ? discarded.slice(0, -1) : discarded

/** Opens file and state, cuts the torn tail of a crash, and makes both durable. */
const openToWrite = Effect.fnUntraced(
  function* (disk: Disk, path: string, tailLimitBytes: number, options: Options) {
    const { drawId, path: store } = options
    const found = yield* readState(disk, path)
    const scope = yield* Scope.fork(yield* Effect.scope)
    const file = yield* Scope.provide(openFile(disk, path, found), scope)
    const size = yield* disk.size(file)
    const reading = { disk, path, file, size, state: found, drawId, until: size, tailLimitBytes }
    const { csv, finished, torn } = yield* readRows(reading)
    const kept = torn > 0 ? yield* keepTail(csv, path, torn) : undefined
    if (torn > 0) yield* disk.truncate(file, csv.length)
    // The last rows of a killed server may not be on the disk yet.
    yield* disk.sync(file)
    if (torn > 0) {
      const fields = { store, bytes_cut: torn, kept }
      yield* Effect.logWarning(new ActionLine("store_recovered", "success", fields))
    }
    const synced = csv.length
    const known = found ?? newState(drawId)
    const discarded = discardedIn(known, csv.index)
    yield* readEntries(disk, path, known.entries)
    yield* checkMarks(disk, path, finished)
    const { drawn, winningNumber } = known.opened ?? {}
    // Versions 1 and 2 did not record the winners.
    const winners =
      drawn && known.winners === undefined
        ? yield* writeWinners(csv, path, yield* scanWinners(csv, winningNumber!, known.excluded))
        : known.winners
    const noted = { version: VERSION, finished, synced, winners, discarding: false, discarded }
    const checked = { ...known, ...noted }
    const isCurrent = found?.version === VERSION && found.synced === synced && !found.discarding
    const state = isCurrent ? checked : yield* writeState(csv, path, checked)
    yield* syncFolderOf(disk, path)
    return { csv: { ...csv, scope, users: 1 }, state }
  },
  (effect, _disk, _path, _limit, { path }) => Effect.mapError(effect, toOpenError(path))
)

/**
 * Opens the store at the canonical `path` for writing. The caller ensures that no other process
 * writes it. Accesses files only through the `Disk`.
 */
export const openStore = Effect.fnUntraced(function* (disk: Disk, path: string, options: Options) {
  const { drawId, tailLimitBytes = MAX_GROUP_BYTES, unnotedLimitBytes = MAX_UNNOTED } = options
  const opened = yield* openToWrite(disk, path, tailLimitBytes, options)
  const store: OpenCsv = {
    ...opened,
    path,
    // Closes the files after the last note, which uses them.
    scope: yield* Scope.fork(yield* Effect.scope),
    unsyncedBytes: tailLimitBytes,
    unnotedBytes: unnotedLimitBytes,
    editions: new Map(),
    tailIsDirty: false,
    buffer: new Uint8Array(0)
  }
  const made = yield* makeWriter(drawId, (writes) => commit(store, writes))
  const { betweenCommits, breakNow: _, ...writer } = made
  // A later note makes up for a failed one; a failed sync has already broken the store.
  const note = Effect.ignore(betweenCommits(noteSynced(store)))
  yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(note), CLOSE_TIMEOUT))
  yield* Effect.sleep(NOTE_INTERVAL).pipe(
    Effect.andThen(Effect.uninterruptible(note)),
    Effect.forever,
    Effect.forkScoped
  )
  const page = (agency: Agency, of: PageRange) =>
    Effect.suspend(() =>
      of.edition === (store.editions.get(agency) ?? 0)
        ? Effect.scoped(Effect.flatMap(share(store), (csv) => readPage(csv, agency, of)))
        : Effect.succeed(BetBatch.empty)
    )
  return BetStore.of({
    ...storedBooks(store, page),
    ...writer,
    page,
    changes: Stream.never
  })
})

/** Opens the store at the canonical `path` for writing. The caller holds its lock. */
export const open = Effect.fnUntraced(function* (options: Options, path: string) {
  const disk = yield* Disk
  return yield* openStore(disk, path, options)
})

/** Locks the store and opens it for writing. */
export const make = (options: Options) =>
  Effect.flatMap(lock(options.path), (path) => open(options, path))

/** Locks an existing store and opens it for writing. */
export const makeExisting = Effect.fnUntraced(function* (options: Options) {
  const disk = yield* Disk
  // Fails if the file does not exist: opening the store for writing would create it.
  yield* Effect.scoped(openScoped(disk, yield* canonicalPath(options.path), "r")).pipe(
    Effect.mapError(toOpenError(options.path))
  )
  return yield* make(options)
})
