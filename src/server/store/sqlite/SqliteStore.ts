/**
 * The store in one SQLite file, through Node's own `node:sqlite`. A worker thread talks to the
 * file, so that the event loop never waits for the disk; this side sends it plain values.
 */
import { Worker } from "node:worker_threads"
import { Data, Deferred, Effect, Exit, Layer, Option } from "effect"
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
import { drawFromTerms } from "../DrawTerms.ts"
import * as DiscardRequest from "../embedded/DiscardRequest.ts"
import { makeWriter, type Outcome, type Write } from "../embedded/EmbeddedStore.ts"
import { checkFiles } from "../embedded/StoreFiles.ts"
import { acquire, canonicalPath } from "../embedded/StoreLock.ts"
import { pagedBook } from "../PagedBook.ts"
import { winnersOf } from "../WinningRows.ts"
import type { Read, ReadAnswers } from "./SqliteBooks.ts"
import type { Failure } from "./SqliteFile.ts"
import type { Reply, Request, Settings } from "./SqliteWorker.ts"

const BUSY_TIMEOUT_MILLIS = 5_000
/** How long a worker may take to close; a commit and a checkpoint lie before it at most. */
const CLOSE_TIMEOUT = "10 seconds"

/**
 * What the worker makes of a row lives for a statement. V8 by itself would let it fill 40 MiB more
 * before it collects, and be no faster.
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
  /** Another program for the worker; a test shows with it what happens when a worker dies. */
  readonly worker?: URL
}

/** The worker could not do it, or is gone. */
class WorkerFailure extends Data.TaggedError("WorkerFailure")<{ readonly failure: Failure }> {}

type Answered = Extract<Reply, { readonly id: number }>

const openError = (store: string, reason: string) => new StoreOpenError({ store, reason })

const failed = (kind: Failure["kind"], reason: string) =>
  Effect.fail(new WorkerFailure({ failure: { kind, reason } }))

const copyRuns = ({ runs, size }: Extract<Write, { kind: "append" }>) => {
  const rows = new Uint8Array(size)
  let end = 0
  for (const run of runs) {
    rows.set(run, end)
    end += run.length
  }
  return rows
}

/** Starts the worker and waits until it has opened the file; it ends with the scope. */
const startWorker = Effect.fnUntraced(function* (options: Options, settings: Settings) {
  const opened = yield* Deferred.make<void, StoreOpenError>()
  const ended = yield* Deferred.make<never, StoreBroken>()
  const exited = yield* Deferred.make<void>()
  const waiting = new Map<number, (reply: Effect.Effect<Answered, WorkerFailure>) => void>()
  let lastId = 0
  let gone: string | undefined
  let brokenBy: string | undefined

  const end = (reason: string) => {
    gone ??= reason
    Deferred.doneUnsafe(opened, Exit.fail(openError(options.path, gone)))
    Deferred.doneUnsafe(ended, Exit.fail(new StoreBroken({ reason: gone })))
    for (const resume of waiting.values()) resume(failed("broken", gone))
    waiting.clear()
  }

  const receive = (reply: Reply) => {
    switch (reply.kind) {
      case "opened":
        Deferred.doneUnsafe(opened, Exit.void)
        break
      case "openFailed":
        Deferred.doneUnsafe(opened, Exit.fail(openError(options.path, reply.reason)))
        break
      case "broken":
        brokenBy = reply.reason
        Deferred.doneUnsafe(ended, Exit.fail(new StoreBroken({ reason: reply.reason })))
        break
      default:
        waiting.get(reply.id)?.(Effect.succeed(reply))
        waiting.delete(reply.id)
    }
  }

  const start = Effect.sync(() => {
    const worker = new Worker(options.worker ?? workerUrl(), {
      workerData: settings,
      resourceLimits: { maxYoungGenerationSizeMb: WORKER_YOUNG_MIB }
    })
    worker.on("message", receive)
    worker.on("error", (error) => end(`the store's worker failed: ${error}`))
    worker.on("exit", (code) => {
      end(`the store's worker ended with code ${code}`)
      Deferred.doneUnsafe(exited, Exit.void)
    })
    return worker
  })

  // Requests are answered in order, so what was asked before is done before the file is closed.
  const stop = Effect.fnUntraced(function* (worker: Worker) {
    const before = brokenBy
    worker.postMessage({ kind: "close" } satisfies Request)
    yield* Effect.timeoutOrElse(Deferred.await(exited), {
      duration: CLOSE_TIMEOUT,
      orElse: () => Effect.promise(() => worker.terminate())
    })
    // Everything acknowledged is durable in the log, but nobody should trust this disk.
    if (brokenBy !== undefined && before === undefined) {
      return yield* Effect.die(new StoreBroken({ reason: brokenBy }))
    }
  })

  const worker = yield* Effect.acquireRelease(start, stop)
  yield* Deferred.await(opened)

  /** Sends a request; `uninterruptible` callers get an answer even from a worker that dies. */
  const ask = (make: (id: number) => Request, transfer: () => Array<ArrayBuffer> = () => []) =>
    Effect.callback<Answered, WorkerFailure>((resume) => {
      if (gone !== undefined) {
        resume(failed("broken", gone))
        return undefined
      }
      const id = ++lastId
      waiting.set(id, resume)
      worker.postMessage(make(id), transfer())
      return Effect.sync(() => waiting.delete(id))
    }).pipe(
      Effect.flatMap((reply) =>
        reply.kind === "failed"
          ? Effect.fail(new WorkerFailure({ failure: reply.failure }))
          : Effect.succeed(reply)
      )
    )

  const commit = Effect.fnUntraced(
    function* (
      writes: ReadonlyArray<Write>
    ): Effect.fn.Return<ReadonlyArray<Outcome>, WorkerFailure> {
      // A copy of the rows is handed over: a batch may share its bytes with others.
      const buffers: Array<ArrayBuffer> = []
      const owned = writes.map((write) => {
        if (write.kind !== "append") return write
        const rows = copyRuns(write)
        buffers.push(rows.buffer)
        return { ...write, runs: [rows] }
      })
      const reply = yield* ask(
        (id) => ({ kind: "commit", id, writes: owned }),
        () => buffers
      )
      if (reply.kind !== "committed") return yield* failed("broken", "the worker is confused")
      return reply.outcomes
    },
    Effect.mapError(({ failure }) =>
      failure.kind === "broken"
        ? new StoreBroken({ reason: failure.reason })
        : new StoreUnavailable({ reason: failure.reason })
    )
  )

  const read = <Kind extends Read["kind"]>(question: Extract<Read, { readonly kind: Kind }>) =>
    ask((id) => ({ kind: "read", id, read: question })).pipe(
      Effect.flatMap((reply) =>
        reply.kind === "read"
          ? // The worker answers each question with what `ReadAnswers` says of its kind.
            Effect.succeed(reply.answer as ReadAnswers[Kind])
          : failed("broken", "the worker is confused")
      ),
      Effect.mapError(({ failure }) => new StoreUnavailable({ reason: failure.reason }))
    )

  return { commit, read, broken: Deferred.await(ended) }
})

type Reader = Effect.Success<ReturnType<typeof startWorker>>["read"]

const pageWith = (read: Reader) => (agency: Agency, page: PageOf) =>
  Effect.map(
    read({ kind: "page", agency, ...page }),
    ({ bytes, count }) => new BetBatch(bytes, count)
  )

const makeBooks = (drawId: string, read: Reader): StoredBooks => ({
  draw: Effect.map(read({ kind: "draw" }), (stored) =>
    stored === undefined
      ? Option.none()
      : Option.some({ draw: drawFromTerms(drawId, stored.terms), recorded: stored.recorded })
  ),
  progress: Effect.map(read({ kind: "progress" }), (rows) => new Map(rows)),
  book: (agency, from) =>
    pagedBook(agency, from, read({ kind: "progressOf", agency }), pageWith(read))
})

const settingsOf = (options: Options, path: string, readOnly: boolean): Settings => ({
  role: "lottery/sqlite",
  path,
  drawId: options.drawId,
  readOnly,
  busyTimeoutMillis: options.busyTimeoutMillis ?? BUSY_TIMEOUT_MILLIS
})

/** Opens the store to write it, under its lock. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const { drawId } = options
  const path = yield* canonicalPath(options.path)
  yield* acquire(options.path, path)
  yield* DiscardRequest.clear(path)
  const { commit, read, broken } = yield* startWorker(options, settingsOf(options, path, false))
  const { breakNow, ...writer } = yield* makeWriter(drawId, commit)
  // Also a worker that dies, or a sync that fails, while nobody waits for it breaks the store.
  yield* broken.pipe(Effect.catchTag("StoreBroken", breakNow), Effect.forkScoped)
  return BetStore.of({
    ...makeBooks(drawId, read),
    ...writer,
    page: pageWith(read),
    progressOf: (agency) => read({ kind: "progressOf", agency }),
    winners: (winningNumber) =>
      Effect.map(read({ kind: "winners", number: winningNumber }), winnersOf),
    changes: yield* DiscardRequest.serve(path, drawId, writer.discard)
  })
})

/** Opens the store to read it, beside whoever writes it. */
export const makeReader = Effect.fnUntraced(function* (options: Options) {
  const path = yield* canonicalPath(options.path)
  yield* checkFiles(options.path, path)
  const { read } = yield* startWorker(options, settingsOf(options, path, true))
  return BetStoreReader.of(makeBooks(options.drawId, read))
})

/**
 * Drops the book of an agency from a store that is there: by itself where nobody has the store
 * open, else through the one who has. Gives how many bets were dropped.
 */
export const discard = Effect.fnUntraced(function* (options: Options, agency: Agency) {
  // Looks first: to open a store to write it would make it, and would not miss the draw.
  yield* Effect.scoped(makeReader(options))
  return yield* DiscardRequest.discard(make(options), { ...options, agency })
})

/** The store in the SQLite file at `path`, which is made where it is not. */
export const layer = (path: string, drawId: string): Layer.Layer<BetStore, StoreOpenError> =>
  Layer.effect(BetStore, make({ path, drawId }))

/** The SQLite file at `path`, to be read beside whoever writes it. */
export const layerReader = (
  path: string,
  drawId: string
): Layer.Layer<BetStoreReader, StoreOpenError> =>
  Layer.effect(BetStoreReader, makeReader({ path, drawId }))
