/**
 * The store in the course's own format: `bets.csv` as Python's `csv.writer` writes it, and what is
 * not a bet in `bets.csv.state.json`. One sync of the data a group commit.
 */
import { Effect, Scope, Stream } from "effect"
import { ActionLine } from "../../../domain/ActionLog.ts"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch } from "../../../domain/BetBatch.ts"
import { BetStore, type PageOf } from "../BetStore.ts"
import * as DiscardRequest from "../embedded/DiscardRequest.ts"
import { Disk, openScoped, syncFolderOf } from "../embedded/Disk.ts"
import { MAX_GROUP_BYTES, makeWriter } from "../embedded/GroupCommit.ts"
import { acquire, canonicalPath } from "../embedded/StoreLock.ts"
import { readPage, storedBooks, toOpenError, toUnavailable } from "./CsvBook.ts"
import { commit, noteSynced, type OpenCsv } from "./CsvCommit.ts"
import { keepTail, readRows } from "./CsvDamage.ts"
import { share } from "./CsvDiscard.ts"
import { scanWinners, unusable } from "./CsvFile.ts"
import { type FoundState, newState, readState, writeState } from "./CsvState.ts"

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

/** A disk that does not answer keeps no server from ending: what was acknowledged is on it. */
const CLOSE_TIMEOUT = "10 seconds"
const MAX_UNNOTED = 64 * 1024 * 1024

/** Opens the file, or makes it unless something was stored in it. */
const openFile = (disk: Disk, path: string, state: FoundState | undefined) =>
  openScoped(disk, path, "r+").pipe(
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => {
        if (!state?.synced) return openScoped(disk, path, "wx+")
        const reason =
          `the file is missing, and ${path}.state.json says that ${state.synced} bytes were ` +
          "stored in it (restore both from the same moment; for a new draw name another store)"
        return Effect.fail(unusable(reason))
      }
    )
  )

/** Opens file and state, cuts what a crash left after the bets, and makes both durable. */
const openToWrite = Effect.fnUntraced(
  function* (disk: Disk, path: string, tailLimitBytes: number, options: Options) {
    const { drawId, path: store } = options
    const found = yield* readState(disk, path)
    const scope = yield* Scope.fork(yield* Effect.scope)
    const file = yield* Scope.provide(openFile(disk, path, found), scope)
    const size = yield* disk.size(file)
    const reading = { disk, file, size, state: found, drawId, until: size, tailLimitBytes }
    const { csv, finished, torn } = yield* readRows(reading)
    const kept = torn > 0 ? yield* keepTail(csv, path, torn) : undefined
    if (torn > 0) yield* disk.truncate(file, csv.length)
    // Rows that a killed server left may not be on the disk yet, and are soon relied upon.
    yield* disk.sync(file)
    if (torn > 0) {
      const fields = { store, bytes_cut: torn, kept }
      yield* Effect.logWarning(new ActionLine("store_recovered", "success", fields))
    }
    const synced = csv.length
    const state = { ...(found ?? newState(drawId)), finished, synced, discarding: false }
    if (found?.synced !== synced || found.discarding) yield* writeState(csv, path, state)
    yield* syncFolderOf(disk, path)
    return { csv: { ...csv, scope, users: 1 }, state }
  },
  (effect, _disk, _path, _limit, { path }) => Effect.mapError(effect, toOpenError(path))
)

/**
 * Opens the store at the canonical `path` to write it, for a caller that has made sure that no
 * other process does. It touches nothing except the `Disk`, and serves no requests.
 */
export const openStore = Effect.fnUntraced(function* (disk: Disk, path: string, options: Options) {
  const { drawId, tailLimitBytes = MAX_GROUP_BYTES, unnotedLimitBytes = MAX_UNNOTED } = options
  const opened = yield* openToWrite(disk, path, tailLimitBytes, options)
  const store: OpenCsv = {
    ...opened,
    path,
    // Files are closed after the last note, which looks at them.
    scope: yield* Scope.fork(yield* Effect.scope),
    unsyncedBytes: tailLimitBytes,
    unnotedBytes: unnotedLimitBytes,
    editions: new Map(),
    tailIsDirty: false,
    buffer: new Uint8Array(0)
  }
  const made = yield* makeWriter(drawId, (writes) => commit(store, writes))
  const { betweenCommits, breakNow: _, ...writer } = made
  // What fails to be noted now is noted later, and a failed sync has broken the store.
  const note = Effect.ignore(betweenCommits(noteSynced(store)))
  yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(note), CLOSE_TIMEOUT))
  yield* Effect.sleep(NOTED_EVERY).pipe(
    Effect.andThen(Effect.uninterruptible(note)),
    Effect.forever,
    Effect.forkScoped
  )
  const page = (agency: Agency, of: PageOf) =>
    Effect.suspend(() =>
      of.edition === (store.editions.get(agency) ?? 0)
        ? Effect.scoped(Effect.flatMap(share(store), (csv) => readPage(csv, agency, of)))
        : Effect.succeed(BetBatch.empty)
    )
  return BetStore.of({
    ...storedBooks(store, page),
    ...writer,
    page,
    winners: (winningNumber) =>
      Effect.flatMap(share(store), (csv) => scanWinners(csv, winningNumber)).pipe(
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
 * Drops the book of an agency from a store that exists, through the server that has it open if
 * there is one. Gives how many bets were dropped.
 */
export const discard = Effect.fnUntraced(function* (options: Options, agency: Agency) {
  const disk = yield* Disk
  // Looks first: to open a store to write it would make it.
  yield* Effect.scoped(openScoped(disk, yield* canonicalPath(options.path), "r")).pipe(
    Effect.mapError(toOpenError(options.path))
  )
  return yield* DiscardRequest.discard(make(options), { ...options, agency })
})
