/**
 * Opens a CSV store to read it: takes no lock and repairs nothing. It shows the store as it is when
 * it is opened: if a server has it open, what the state says is synced, which is a second old at
 * most; otherwise every whole row.
 */
import { Effect, Schedule } from "effect"
import { BetStoreReader, StoreOpenError } from "../BetStore.ts"
import { type Descriptor, Disk, openScoped } from "../embedded/Disk.ts"
import { MAX_GROUP_BYTES } from "../embedded/GroupCommit.ts"
import { checkFiles } from "../embedded/StoreFiles.ts"
import { canonicalPath, isInUse } from "../embedded/StoreLock.ts"
import { readPage, storedBooks, toOpenError } from "./CsvBook.ts"
import { readRows } from "./CsvDamage.ts"
import { newState, readState } from "./CsvState.ts"

/** How long it waits for a server that is replacing the file. */
const LOOKS_AGAIN_MILLIS = 50
const LOOKS_AGAIN_TIMES = 400

/** Opens the file that the state speaks of: a discard may replace both while they are read. */
const open = (disk: Disk, path: string, store: string) =>
  Effect.gen(function* () {
    const before = yield* readState(disk, path)
    const file = yield* openScoped(disk, path, "r")
    // In this order: the file is no shorter than the state says, and what a server that is not
    // there any more wrote lies before that size.
    const state = yield* readState(disk, path)
    const size = yield* disk.size(file)
    // Also true if it cannot be known.
    const isServed = yield* isInUse(path)
    if (before?.discards !== state?.discards || (isServed && state?.discarding)) {
      const reason =
        "a book is being discarded from it; look again when that is done, " +
        "or, where its server was killed meanwhile, when it was started again"
      return yield* new StoreOpenError({ store, reason })
    }
    return { file, size, state, isServed }
  }).pipe(
    Effect.retry({
      while: (error) => error._tag === "StoreOpenError",
      schedule: Schedule.spaced(LOOKS_AGAIN_MILLIS),
      times: LOOKS_AGAIN_TIMES
    })
  )

/** On a medium that cannot be written nothing is left to be synced, and it may not know how. */
const syncIfWritable = (disk: Disk, file: Descriptor) =>
  Effect.catchIf(
    disk.syncData(file),
    ({ code }) => code === "EROFS" || code === "EINVAL",
    () => Effect.void
  )

/** Opens the store to read it, also while a server writes it. */
export const makeReader = Effect.fnUntraced(
  function* ({ drawId, path: store }: { readonly path: string; readonly drawId: string }) {
    const disk = yield* Disk
    const path = yield* canonicalPath(store)
    yield* checkFiles(store, path)
    const { file, isServed, size, state } = yield* open(disk, path, store)
    const synced = state?.synced ?? size
    const until = isServed ? synced : size
    // What a killed server wrote last is durable before it is shown.
    if (until > synced) yield* syncIfWritable(disk, file)
    const limits = { until, tailLimitBytes: MAX_GROUP_BYTES, mayBeWritten: true }
    const { csv } = yield* readRows({ disk, file, size, state, drawId, ...limits })
    const known = { csv, state: state ?? newState(drawId), editions: new Map() }
    return BetStoreReader.of(storedBooks(known, (agency, of) => readPage(csv, agency, of)))
  },
  (effect, { path }) => Effect.mapError(effect, toOpenError(path))
)
