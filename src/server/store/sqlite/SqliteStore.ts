/**
 * The store in one SQLite file, through Node's own `node:sqlite`. A worker thread talks to the
 * file, so that the event loop never waits for the disk; this side sends it plain values.
 */
import { Worker } from "node:worker_threads"
import { Deferred, Effect, Option } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch } from "../../../domain/BetBatch.ts"
import {
  BetStore,
  BetStoreReader,
  type PageOf,
  StoreBroken,
  type StoredBooks,
  StoreOpenError,
  StoreUnavailable
} from "../BetStore.ts"
import * as DiscardRequest from "../embedded/DiscardRequest.ts"
import { makeWriter, type Write } from "../embedded/GroupCommit.ts"
import { checkFiles } from "../embedded/StoreFiles.ts"
import { acquire, canonicalPath } from "../embedded/StoreLock.ts"
import { pagedBook } from "../PagedBook.ts"
import { winnersOf } from "../WinningRows.ts"
import type { Calls, Reply, Request, Settings } from "./SqliteWorker.ts"

const BUSY_TIMEOUT_MILLIS = 5_000
/** How long a worker may take to close, after at most a commit and a checkpoint. */
const CLOSE_TIMEOUT = "10 seconds"

/**
 * What the worker makes of a row lives for one statement. By itself V8 would let it fill 40 MiB
 * more before it collects, and be no faster.
 */
const WORKER_YOUNG_MIB = 4

// In the bundle this is the worker's own file, which starts what its role names.
const workerUrl = (): URL =>
  import.meta.url.endsWith(".ts")
    ? new URL("./SqliteWorker.ts", import.meta.url)
    : new URL(import.meta.url)

export interface Options {
  readonly path: string
  readonly drawId: string
  readonly busyTimeoutMillis?: number
  /** Another program for the worker, with which a test lets it die. */
  readonly worker?: URL
}

/** Takes an answer of the worker. */
type Resume = (answer: Effect.Effect<never, StoreUnavailable>) => void

const unavailable = (reason: string) => Effect.fail(new StoreUnavailable({ reason }))

/** Copies of the rows, to be transferred: a batch may share its bytes with others. */
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

/** Starts a worker. `breakNow` hears why nothing more may be committed. */
const makeWorker = (
  { busyTimeoutMillis = BUSY_TIMEOUT_MILLIS, drawId, worker: program = workerUrl() }: Options,
  path: string,
  readOnly: boolean,
  breakNow: (reason: string) => void
) => {
  /** Callbacks of the requests without an answer, oldest first. */
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
    // A call is answered with what its method gives.
    else waiting.shift()?.(Effect.succeed(reply.answer as never))
  }

  const settings: Settings = { role: "lottery/sqlite", path, drawId, readOnly, busyTimeoutMillis }
  const worker = new Worker(program, {
    workerData: settings,
    resourceLimits: { maxYoungGenerationSizeMb: WORKER_YOUNG_MIB }
  })
  worker.on("message", receive)
  worker.on("error", (error) => end(`the store's worker failed: ${error}`))
  worker.on("exit", (code) => end(`the store's worker ended with code ${code}`))
  /** Calls a method there; an uninterruptible caller is answered even if the worker dies. */
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
  // Everything acknowledged is durable in the log, but this disk is not to be trusted.
  if (failure !== undefined) return yield* Effect.die(new StoreBroken({ reason: failure.reason }))
  // Nobody else hears by now of a sync that failed behind the last commit.
  if (brokeMeanwhile) return yield* Effect.orDie(Deferred.await(broken))
})

/** Starts the worker and waits until it has opened the file; it ends with the scope. */
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
      // Whether it was committed is not known.
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
  const page = (agency: Agency, of: PageOf) =>
    Effect.map(call("page", [agency, of]), ({ bytes, count }) => new BetBatch(bytes, count))
  const books: StoredBooks = {
    draw: Effect.map(call("draw", []), Option.fromUndefinedOr),
    progress: call("progress", []),
    book: (agency, from) => pagedBook(agency, from, progressOf(agency), page)
  }
  return { ...books, page, progressOf }
}

/** Opens the store to write it, under its lock. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const { drawId } = options
  const path = yield* canonicalPath(options.path)
  yield* acquire(options.path, path)
  yield* DiscardRequest.clear(path)
  const worker = yield* startWorker(options, path, false)
  const { breakNow, ...writer } = yield* makeWriter(drawId, worker.commit)
  // The worker may die, or a sync fail, also while no commit waits for it.
  yield* worker.broken.pipe(Effect.catchTag("StoreBroken", breakNow), Effect.forkScoped)
  return BetStore.of({
    ...makeBooks(worker),
    ...writer,
    winners: (winningNumber) => Effect.map(worker.call("winners", [winningNumber]), winnersOf),
    changes: yield* DiscardRequest.serve(path, drawId, writer.discard)
  })
})

/** Opens the store to read it, also while a server writes it. */
export const makeReader = Effect.fnUntraced(function* (options: Options) {
  const path = yield* canonicalPath(options.path)
  yield* checkFiles(options.path, path)
  return BetStoreReader.of(makeBooks(yield* startWorker(options, path, true)))
})

/**
 * Drops the book of an agency from an existing store: directly, or through the server that has it
 * open. Gives how many bets were dropped.
 */
export const discard = Effect.fnUntraced(function* (options: Options, agency: Agency) {
  // Reads first: opening it to write would create it, and would not notice a missing draw.
  yield* Effect.scoped(makeReader(options))
  return yield* DiscardRequest.discard(make(options), { ...options, agency })
})
