/**
 * Opens a CSV store to read it: takes no lock and repairs nothing. If a server has the store open,
 * it shows what the state says is synced, which is a second old at most; otherwise every whole row.
 */
import { Effect, Schedule, Semaphore } from "effect"
import { BetStoreReader, StoreOpenError } from "../BetStore.ts"
import { type Descriptor, Disk, openScoped } from "../embedded/Disk.ts"
import { MAX_GROUP_BYTES } from "../embedded/EmbeddedStore.ts"
import { checkFiles } from "../embedded/StoreFiles.ts"
import { canonicalPath, isInUse } from "../embedded/StoreLock.ts"
import { type KnownBooks, readPage, storedBooks, toOpenError, toUnavailable } from "./CsvBook.ts"
import { type Found, finishedBooks, readRows } from "./CsvDamage.ts"
import { type CsvFile, unread } from "./CsvFile.ts"
import { type FoundState, newState, readState } from "./CsvState.ts"

export interface Options {
  readonly path: string
  readonly drawId: string
}

/** How long it waits for a server that is replacing the file. */
const LOOKS_AGAIN_MILLIS = 50
const LOOKS_AGAIN_TIMES = 400

/** What is found of a store at one moment. */
interface FoundFile extends Found {
  readonly file: Descriptor
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
const open = (disk: Disk, path: string, { drawId, path: store }: Options) =>
  Effect.gen(function* () {
    const before = yield* readState(disk, path)
    const file = yield* openScoped(disk, path, "r")
    // In this order: the file is no shorter than the state says, and what a server that is not
    // there any more wrote lies before that size.
    const state = yield* readState(disk, path)
    const size = yield* disk.size(file)
    const isServed = yield* isInUse(path)
    if (!isSameFile(before, state, isServed)) {
      const reason =
        "a book is being discarded from it; look again when that is done, " +
        "or, where its server was killed meanwhile, when it was started again"
      return yield* new StoreOpenError({ store, reason, inUse: true })
    }
    return { drawId, file, size, state, isServed } satisfies FoundFile
  }).pipe(
    Effect.retry({
      while: (error) => error._tag === "StoreOpenError",
      schedule: Schedule.spaced(LOOKS_AGAIN_MILLIS),
      times: LOOKS_AGAIN_TIMES
    })
  )

/** On a medium that cannot be written nothing is left to be synced, and it may not know how. */
const syncIfWritable = ({ disk, file }: CsvFile) =>
  Effect.catchIf(
    disk.syncData(file),
    ({ code }) => code === "EROFS" || code === "EINVAL",
    () => Effect.void
  )

/** Reads on in the file up to what is durable, and looks that all of it is there. */
const readOn = Effect.fnUntraced(function* (from: CsvFile, found: FoundFile) {
  const { isServed, size, state } = found
  const synced = state?.synced ?? size
  const until = isServed ? synced : size
  // What a killed server wrote last is durable before it is shown.
  if (until > synced) yield* syncIfWritable(from)
  // The server cut what it had not acknowledged: what was read of it is not to be relied on.
  const csv = until < from.length ? unread(from.disk, from.file) : from
  yield* readRows(csv, found, until, { tailLimitBytes: MAX_GROUP_BYTES, mayBeWritten: true })
  return csv
})

/** Opens the store to read it, also while a server writes it. */
export const makeReader = Effect.fnUntraced(
  function* (options: Options) {
    const disk = yield* Disk
    const path = yield* canonicalPath(options.path)
    yield* checkFiles(options.path, path)
    const found = yield* open(disk, path, options)
    const csv = yield* readOn(unread(disk, found.file, found.state?.finished.keys()), found)
    yield* finishedBooks(csv, found.state)
    const state = found.state ?? newState(options.drawId)
    let known: KnownBooks = { csv, state, editions: new Map() }

    /**
     * Reads what was added since it was last asked. Once a book was discarded the file is another
     * one, and what was read of this one stays what is known.
     */
    const refresh = Effect.gen(function* () {
      if (!found.isServed) return known
      const state = yield* readState(disk, path)
      if (!isSameFile(found.state, state, true)) return known
      const size = yield* disk.size(found.file)
      const csv = yield* readOn(known.csv, { ...found, size, state })
      known = { ...known, csv, state: state ?? known.state }
      return known
    })

    // Refreshed twice at once, the index would count the same rows twice.
    const permit = yield* Semaphore.make(1)
    const refreshed = permit
      .withPermit(refresh)
      .pipe(Effect.mapError((error) => toUnavailable(toOpenError(options.path)(error))))
    return BetStoreReader.of(
      storedBooks(refreshed, (agency, of) => readPage(known.csv, agency, of))
    )
  },
  (effect, { path }) => Effect.mapError(effect, toOpenError(path))
)
