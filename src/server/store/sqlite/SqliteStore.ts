/**
 * The store in a single SQLite file, through `node:sqlite`. A worker thread accesses the file, so
 * that the event loop never waits for the disk. Requests to the worker are plain values.
 */
import { Worker } from "node:worker_threads"
import { Deferred, Effect, Option, Stream } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch } from "../../../domain/BetBatch.ts"
import { ANY_DRAW } from "../AnyDraw.ts"
import {
  BetStore,
  BetStoreReader,
  StoreBroken,
  type StoredBooks,
  StoreOpenError,
  StoreUnavailable
} from "../BetStore.ts"
import type { PageRange } from "../BookOptions.ts"
import { makeWriter } from "../embedded/GroupCommit.ts"
import { checkFiles } from "../embedded/StoreFiles.ts"
import { canonicalPath, lock } from "../embedded/StoreLock.ts"
import type { Write } from "../embedded/Write.ts"
import { pagedBook } from "../PagedBook.ts"
import { winnersOf } from "../WinningRows.ts"
import type { Calls, Reply, Request, Settings } from "./SqliteWorker.ts"

const BUSY_TIMEOUT_MILLIS = 5_000
/** SQLite takes some 20 ms to insert as many rows; an operator's act waits for two commits. */
const MAX_GROUP_BYTES = 1024 * 1024
/** The worker begins the second one at once, and does not wait for the event loop in between. */
const COMMITS_AT_ONCE = 2
/** How long a worker may take to close; a commit and a checkpoint may be pending. */
const CLOSE_TIMEOUT = "10 seconds"

/**
 * The worker's objects do not outlive one statement. With V8's default young generation the worker
 * uses 40 MiB more and is no faster.
 */
const WORKER_YOUNG_MIB = 4

// In the bundle `import.meta.url` is always that of `worker.mjs`, the worker's entry.
const workerUrl = (): URL =>
  import.meta.url.endsWith(".ts")
    ? new URL("./SqliteWorker.ts", import.meta.url)
    : new URL(import.meta.url)

export interface Options {
  readonly path: string
  readonly drawId: string
  readonly busyTimeoutMillis?: number
  /** Another worker program, for tests. */
  readonly worker?: URL
}

type Resume = (answer: Effect.Effect<never, StoreUnavailable>) => void

const unavailable = (reason: string) => Effect.fail(new StoreUnavailable({ reason }))

/** Copies the rows so that they can be transferred: a batch may share its bytes with others. */
const copyRows = (writes: ReadonlyArray<Write>) => {
  const buffers: Array<ArrayBuffer> = []
  const owned = writes.map((write) => {
    if (write.kind !== "append") return write
    const rows = new Uint8Array(write.size)
    let end = 0
    for (const run of write.runs) {
      rows.set(run, end)
      end += run.length
    }
    buffers.push(rows.buffer)
    return { ...write, runs: [rows] }
  })
  return { owned, buffers }
}

/** Starts a worker; `breakNow` gets the reason once nothing more may be committed. */
const makeWorker = (
  { busyTimeoutMillis = BUSY_TIMEOUT_MILLIS, drawId, worker: program = workerUrl() }: Options,
  path: string,
  readOnly: boolean,
  breakNow: (reason: string) => void
) => {
  /** Callbacks of unanswered requests, oldest first. */
  const waiting: Array<Resume> = []
  let gone: string | undefined

  const end = (reason: string) => {
    gone ??= reason
    breakNow(gone)
    for (const resume of waiting.splice(0)) resume(unavailable(gone))
  }

  const receive = (reply: Reply) => {
    if ("broken" in reply) breakNow(reply.broken)
    else if ("failed" in reply) waiting.shift()?.(unavailable(reply.failed))
    // The answer has the return type of the method that was called.
    else waiting.shift()?.(Effect.succeed(reply.answer as never))
  }

  const settings: Settings = { role: "lottery/sqlite", path, drawId, readOnly, busyTimeoutMillis }
  const worker = new Worker(program, {
    workerData: settings,
    resourceLimits: { maxYoungGenerationSizeMb: WORKER_YOUNG_MIB }
  })
  worker.on("message", receive)
  worker.on("error", (error) => end(`the store's worker failed: ${error}`))
  worker.on("exit", (code) => end(`the store's worker exited with code ${code}`))
  /** Calls a method in the worker; fails if the worker dies before it answers. */
  const call = <Method extends keyof Calls>(
    method: Method,
    args: Parameters<Calls[Method]>,
    transfer: Array<ArrayBuffer> = []
  ) =>
    Effect.callback<ReturnType<Calls[Method]>, StoreUnavailable>((resume) => {
      if (gone !== undefined) return resume(unavailable(gone))
      worker.postMessage({ method, args } satisfies Request, transfer)
      waiting.push(resume)
    })
  return { worker, call }
}

const stopWorker = Effect.fnUntraced(function* (
  { call, worker }: ReturnType<typeof makeWorker>,
  broken: Deferred.Deferred<never, StoreBroken>
) {
  const wasBroken = Deferred.isDoneUnsafe(broken)
  const closed = yield* Effect.timeoutOption(Effect.option(call("close", [])), CLOSE_TIMEOUT)
  const brokeMeanwhile = !wasBroken && Deferred.isDoneUnsafe(broken)
  yield* Effect.promise(() => worker.terminate())
  const failure = Option.getOrUndefined(Option.flatten(closed))
  // All acknowledged data is durable in the log, but the disk can no longer be trusted.
  if (failure !== undefined) return yield* Effect.die(new StoreBroken({ reason: failure.reason }))
  // A sync failed after the last commit, and at this point nothing else reports it.
  if (brokeMeanwhile) return yield* Effect.orDie(Deferred.await(broken))
})

/** Starts a worker, which the scope stops, and waits until it has opened the file. */
const startWorker = Effect.fnUntraced(function* (
  options: Options,
  path: string,
  readOnly: boolean
) {
  const broken = yield* Deferred.make<never, StoreBroken>()
  const breakNow = (reason: string) =>
    Deferred.doneUnsafe(broken, Effect.fail(new StoreBroken({ reason })))
  const { call } = yield* Effect.acquireRelease(
    Effect.sync(() => makeWorker(options, path, readOnly, breakNow)),
    (started) => stopWorker(started, broken)
  )
  yield* Effect.mapError(
    call("open", []),
    ({ reason }) => new StoreOpenError({ store: options.path, reason })
  )

  const commit = Effect.fnUntraced(function* (writes: ReadonlyArray<Write>) {
    const { buffers, owned } = copyRows(writes)
    const result = yield* Effect.mapError(
      call("commit", [owned], buffers),
      // It is unknown whether the commit succeeded.
      ({ reason }) => new StoreBroken({ reason })
    )
    if (!("kind" in result)) return result
    const { kind, reason } = result
    return yield* kind === "broken" ? new StoreBroken({ reason }) : new StoreUnavailable({ reason })
  })

  return { call, commit, broken: Deferred.await(broken) }
})

type Started = Effect.Success<ReturnType<typeof startWorker>>

const makeBooks = ({ call }: Started) => {
  const progressOf = (agency: Agency) => call("progressOf", [agency])
  const page = (agency: Agency, of: PageRange) =>
    Effect.map(call("page", [agency, of]), ({ bytes, count }) => new BetBatch(bytes, count))
  const books: StoredBooks = {
    draw: Effect.map(call("draw", []), Option.fromUndefinedOr),
    progress: call("progress", []),
    book: (agency, from) => pagedBook(agency, from, progressOf(agency), page),
    winners: Effect.map(call("winners", []), winnersOf),
    digests: call("digests", []),
    evidence: call("evidence", [])
  }
  return { ...books, page, progressOf }
}

/** Opens the store at the canonical `path` for writing. The caller holds its lock. */
export const open = Effect.fnUntraced(function* (options: Options, path: string) {
  const { drawId } = options
  const worker = yield* startWorker(options, path, false)
  const { breakNow, ...writer } = yield* makeWriter(drawId, worker.commit, {
    maxGroupBytes: MAX_GROUP_BYTES,
    commitsAtOnce: COMMITS_AT_ONCE
  })
  // The worker can die, or a sync can fail, while no commit is waiting.
  yield* worker.broken.pipe(Effect.catchTag("StoreBroken", breakNow), Effect.forkScoped)
  return BetStore.of({
    ...makeBooks(worker),
    ...writer,
    changes: Stream.never
  })
})

/** Locks the store and opens it for writing. */
export const make = (options: Options) =>
  Effect.flatMap(lock(options.path), (path) => open(options, path))

const startReader = Effect.fnUntraced(function* (options: Options) {
  const path = yield* canonicalPath(options.path)
  yield* checkFiles(options.path, path)
  return yield* startWorker(options, path, true)
})

/** Opens the store for reading, even while a server writes it. */
export const makeReader = (options: Options) =>
  Effect.map(startReader(options), (worker) => BetStoreReader.of(makeBooks(worker)))

/** Lists the draws of the store, oldest first. */
export const listDraws = Effect.fnUntraced(function* (path: string) {
  const { call } = yield* startReader({ path, drawId: ANY_DRAW })
  return yield* call("draws", [])
}, Effect.scoped)

/** Locks an existing store and opens it for writing. */
export const makeExisting = (options: Options) =>
  // Opens a reader first: opening for writing would create the store and accept a missing draw.
  Effect.andThen(Effect.scoped(makeReader(options)), make(options))
