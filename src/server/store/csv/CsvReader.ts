/**
 * Opens a CSV store for reading, without a lock or repairs. The reader sees the store as it is when
 * it is opened: the part that the state records as synced, at most a second old, if a server has
 * the store open; otherwise every whole row.
 */
import { Effect, Schedule } from "effect"
import { BetStoreReader, StoreOpenError } from "../BetStore.ts"
import { type Descriptor, Disk, openScoped } from "../embedded/Disk.ts"
import { MAX_GROUP_BYTES } from "../embedded/GroupCommit.ts"
import { checkFiles } from "../embedded/StoreFiles.ts"
import { canonicalPath, isInUse } from "../embedded/StoreLock.ts"
import { digestsOf, readPage, storedBooks, toOpenError, toUnavailable } from "./CsvBook.ts"
import { PYTHONS_DRAW, readRows } from "./CsvDamage.ts"
import { withStoredMarks } from "./CsvMarks.ts"
import { newState, readState } from "./CsvState.ts"

/** Waits up to 20 seconds for a server that is replacing the file. */
const RETRY_MILLIS = 50
const RETRIES = 400

/** Opens a matching pair of file and state: a discard may replace both meanwhile. */
const open = (disk: Disk, path: string, store: string) =>
  Effect.gen(function* () {
    const before = yield* readState(disk, path)
    const file = yield* openScoped(disk, path, "r")
    // Order matters. The size is read after the state, so that it covers the synced bytes. The
    // server is looked for last: if there is none, only past servers wrote the bytes up to `size`.
    const state = yield* readState(disk, path)
    const size = yield* disk.size(file)
    const isServed = yield* isInUse(path)
    if (before?.discards !== state?.discards || (isServed && state?.discarding)) {
      const reason =
        "a book is being discarded; try again when that is done, " +
        "or start the server again if it was killed"
      return yield* new StoreOpenError({ store, reason })
    }
    return { file, size, state, isServed }
  }).pipe(
    Effect.retry({
      while: (error) => error._tag === "StoreOpenError",
      schedule: Schedule.spaced(RETRY_MILLIS),
      times: RETRIES
    })
  )

/** A read-only medium has nothing left to sync, and may not support it. */
const syncIfWritable = (disk: Disk, file: Descriptor) =>
  Effect.catchIf(
    disk.syncData(file),
    ({ code }) => code === "EROFS" || code === "EINVAL",
    () => Effect.void
  )

/** Opens the store for reading, even while a server writes it. */
export const makeReader = Effect.fnUntraced(
  function* ({ drawId, path: store }: { readonly path: string; readonly drawId: string }) {
    const disk = yield* Disk
    const path = yield* canonicalPath(store)
    yield* checkFiles(store, path)
    const { file, isServed, size, state } = yield* open(disk, path, store)
    const synced = state?.synced ?? size
    const until = isServed ? synced : size
    // The last writes of a killed server must be durable before they are shown.
    if (until > synced) yield* syncIfWritable(disk, file)
    const limits = { until, tailLimitBytes: MAX_GROUP_BYTES, mayBeWritten: true }
    const { csv, finished } = yield* readRows({ disk, path, file, size, state, drawId, ...limits })
    const known = { ...(state ?? newState(drawId)), finished }
    const books = { path, csv, state: known, editions: new Map() }
    return BetStoreReader.of({
      ...storedBooks(books, (agency, of) => readPage(csv, agency, of)),
      // As they are: a command shows that another program changed them.
      digests: withStoredMarks(disk, path, finished).pipe(
        Effect.map(digestsOf),
        Effect.mapError(toUnavailable)
      )
    })
  },
  (effect, { path }) => Effect.mapError(effect, toOpenError(path))
)

/** Returns the one draw of the store. */
export const listDraws = Effect.fnUntraced(function* (store: string) {
  const path = yield* canonicalPath(store)
  yield* checkFiles(store, path)
  const state = yield* Effect.mapError(readState(yield* Disk, path), toOpenError(path))
  return [state?.draw ?? PYTHONS_DRAW]
})
