/**
 * A CSV store opened to be read: takes no lock and repairs nothing. If a server has the store open
 * it shows what the state says is synced, which is a second old at most; otherwise every whole row.
 */
import { Effect, Schedule, Semaphore } from "effect"
import { BetStoreReader, StoreOpenError, StoreUnavailable } from "../BetStore.ts"
import { type Descriptor, Disk, type DiskError, openScoped } from "../embedded/Disk.ts"
import { MAX_GROUP_BYTES } from "../embedded/GroupCommit.ts"
import { checkFiles } from "../embedded/StoreFiles.ts"
import { canonicalPath, isInUse } from "../embedded/StoreLock.ts"
import { pagedBook } from "../PagedBook.ts"
import { readPage } from "./CsvBook.ts"
import { CsvBookHashes } from "./CsvBookHashes.ts"
import { checkBooks, checkSize, isDamaged, tornBytes } from "./CsvDamage.ts"
import { type CsvFile, indexRows } from "./CsvFile.ts"
import { CsvIndex } from "./CsvIndex.ts"
import { type Known, progressOf, progressOfAll, storedDraw, toOpenError } from "./CsvProgress.ts"
import { type FoundState, newState } from "./CsvState.ts"
import { checkDraw, readState } from "./CsvStateFile.ts"

export interface Options {
  readonly path: string
  readonly drawId: string
}

/** How long it waits for a server that is just replacing the file. */
const LOOKS_AGAIN_MILLIS = 50
const LOOKS_AGAIN_TIMES = 400

/** What was found of a store at one moment. */
interface Found {
  readonly file: Descriptor
  readonly size: number
  readonly state: FoundState | undefined
  /** A server has the store open, or it cannot be known that none has. */
  readonly isServed: boolean
}

/** Whether the file that was opened between the two states is the one that both speak of. */
const isSameFile = (
  one: FoundState | undefined,
  other: FoundState | undefined,
  isServed: boolean
): boolean => one?.discards === other?.discards && !(isServed && other?.discarding)

/** Opens the file that the state speaks of: a discard may replace both while they are read. */
const open = Effect.fnUntraced(function* (disk: Disk, store: string, path: string) {
  const look = Effect.gen(function* () {
    const before = yield* readState(store, disk, path)
    const file = yield* openScoped(disk, path, "r").pipe(Effect.mapError(toOpenError(store)))
    // In this order: the file is no shorter than the state says, and what a server that is not
    // there any more wrote lies before that size.
    const state = yield* readState(store, disk, path)
    const size = yield* disk.size(file)
    const isServed = yield* isInUse(path)
    if (!isSameFile(before, state, isServed)) {
      const reason =
        "a book is being discarded from it; look again when that is done, " +
        "or, where its server was killed meanwhile, when it was started again"
      return yield* new StoreOpenError({ store, reason, inUse: true })
    }
    const found: Found = { file, size, state, isServed }
    return found
  })
  return yield* Effect.retry(look, {
    while: (error) => error._tag === "StoreOpenError" && error.inUse === true,
    schedule: Schedule.spaced(LOOKS_AGAIN_MILLIS),
    times: LOOKS_AGAIN_TIMES
  })
})

/** On a medium that cannot be written nothing is left to be synced, and it may not know how. */
const syncIfWritable = (disk: Disk, file: Descriptor) =>
  Effect.catchIf(
    disk.syncData(file),
    ({ code }) => code === "EROFS" || code === "EINVAL",
    () => Effect.void
  )

/** Opens the store to read it, also while a server writes it. */
export const makeReader = Effect.fnUntraced(function* ({ drawId, path: store }: Options) {
  const disk = yield* Disk
  const path = yield* canonicalPath(store)
  yield* checkFiles(store, path)
  const withOpenError = Effect.mapError((error: DiskError | StoreOpenError) =>
    error._tag === "DiskError" ? toOpenError(store)(error) : error
  )

  /** Reads on in the file up to what is durable, and looks that all of it is there. */
  const readOn = Effect.fnUntraced(function* (
    { file, isServed, size, state }: Found,
    from: CsvFile,
    hashes: CsvBookHashes
  ) {
    yield* checkDraw(store, state, drawId, size > 0)
    yield* checkSize(store, state, size)
    const synced = state?.synced ?? size
    const until = isServed ? synced : size
    // What a killed server wrote last is durable before it is shown.
    if (until > synced) yield* syncIfWritable(disk, file)
    // The server cut what it had not acknowledged: what was read of it is not to be relied on.
    const csv = until < from.length ? { file, length: 0, index: new CsvIndex() } : from
    csv.length = yield* indexRows(disk, csv, until, hashes)
    // A program that writes without a state, as Python does, may be at the last row.
    const isBeingWritten = state === undefined && !(yield* isDamaged(disk, csv, until))
    if (!isBeingWritten) yield* tornBytes(store, disk, csv, state, until, MAX_GROUP_BYTES)
    return csv
  })

  const found = yield* withOpenError(open(disk, store, path))
  const hashes = new CsvBookHashes(found.state?.finished.keys() ?? [])
  const empty: CsvFile = { file: found.file, length: 0, index: new CsvIndex() }
  const first = yield* withOpenError(readOn(found, empty, hashes))
  yield* checkBooks(store, first, hashes, found.state)

  let known: Known & { readonly csv: CsvFile } = {
    csv: first,
    state: found.state ?? newState(drawId),
    editions: new Map()
  }
  const noHashes = new CsvBookHashes([])

  /**
   * Reads what was added since it was last asked. Once a book was discarded the file is another
   * one, and what was read of this one stays what is known.
   */
  const refresh = Effect.gen(function* () {
    if (!found.isServed) return known
    const state = yield* readState(store, disk, path)
    if (!isSameFile(found.state, state, true)) return known
    const size = yield* disk.size(found.file)
    const csv = yield* readOn({ ...found, size, state }, known.csv, noHashes)
    known = { ...known, csv, state: state ?? known.state }
    return known
  }).pipe(withOpenError)

  // Two who refreshed the index at once would count the same rows twice.
  const permit = yield* Semaphore.make(1)
  const refreshed = permit
    .withPermit(refresh)
    .pipe(Effect.mapError((error) => new StoreUnavailable({ reason: error.reason })))
  return BetStoreReader.of({
    draw: Effect.map(refreshed, ({ state }) => storedDraw(state)),
    progress: Effect.map(refreshed, progressOfAll),
    book: (agency, from) =>
      pagedBook(
        agency,
        from,
        Effect.map(refreshed, (now) => progressOf(now, agency)),
        (_, of) => readPage(disk, known.csv, agency, of)
      )
  })
})
