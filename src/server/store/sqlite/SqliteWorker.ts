/**
 * The worker thread of the SQLite store, so that only this thread waits for the disk: what it is
 * asked, what it answers. It imports no library, for a worker must start at once.
 *
 * In the shipped bundle `command.ts` calls `run` where `workerData.role` is `ROLE`; in source form
 * this file is the worker's entry and starts itself.
 */
import type { DatabaseSync } from "node:sqlite"
import { type MessagePort, parentPort, workerData } from "node:worker_threads"
import type { Outcome, Write } from "../embedded/EmbeddedStore.ts"
import { type Read, type ReadAnswers, SqliteBooks } from "./SqliteBooks.ts"
import {
  describeOpenFailure,
  type Failure,
  type FileSettings,
  failureOf,
  open
} from "./SqliteFile.ts"

const ROLE = "lottery/sqlite"

/** What the worker is started with. */
export interface Settings extends FileSettings {
  readonly role: typeof ROLE
}

export type Request =
  | { readonly kind: "commit"; readonly id: number; readonly writes: ReadonlyArray<Write> }
  | { readonly kind: "read"; readonly id: number; readonly read: Read }
  | { readonly kind: "close" }

export type Reply =
  | { readonly kind: "opened" }
  | { readonly kind: "openFailed"; readonly reason: string }
  | { readonly kind: "committed"; readonly id: number; readonly outcomes: ReadonlyArray<Outcome> }
  | { readonly kind: "read"; readonly id: number; readonly answer: ReadAnswers[Read["kind"]] }
  | { readonly kind: "failed"; readonly id: number; readonly failure: Failure }
  /** A sync failed while nobody waited for it. */
  | { readonly kind: "broken"; readonly reason: string }

/** Gives the memory of rows back at once, which else waits until much more of it is dead. */
const forgetRows = (writes: ReadonlyArray<Write>): void => {
  for (const write of writes) {
    if (write.kind !== "append") continue
    // They were handed over, so nobody else has them.
    for (const run of write.runs) (run.buffer as ArrayBuffer).transfer(0)
  }
}

const serve = (port: MessagePort, database: DatabaseSync, books: SqliteBooks): void => {
  const reply = (message: Reply, transfer: Array<ArrayBuffer> = []) =>
    port.postMessage(message, transfer)

  const commit = (id: number, writes: ReadonlyArray<Write>): void => {
    const result = books.commit(writes)
    forgetRows(writes)
    if ("kind" in result) {
      reply({ kind: "failed", id, failure: result })
      return
    }
    reply({ kind: "committed", id, outcomes: result })
    // After the answer: nobody waits for the copying.
    const failure = books.checkpoint()
    if (failure !== undefined) reply({ kind: "broken", reason: failure.reason })
  }

  const read = (id: number, question: Read): void => {
    try {
      reply({ kind: "read", id, answer: books.read(question) })
    } catch (error) {
      const { reason } = failureOf(error)
      reply({ kind: "failed", id, failure: { kind: "unavailable", reason } })
    }
  }

  const close = (): void => {
    // SQLite would do it by itself, and not say where a sync failed.
    const failure = books.checkpoint(1)
    if (failure !== undefined) reply({ kind: "broken", reason: failure.reason })
    database.close()
    port.close()
  }

  port.on("message", (request: Request) => {
    switch (request.kind) {
      case "commit":
        commit(request.id, request.writes)
        break
      case "read":
        read(request.id, request.read)
        break
      case "close":
        close()
        break
    }
  })
}

/** The worker's program: opens what `workerData` says and serves the thread that started it. */
export const run = (): void => {
  const port = parentPort
  if (port === null) throw new Error("the SQLite worker must be started as a worker")
  const settings = workerData as Settings
  try {
    const database = open(settings)
    serve(port, database, new SqliteBooks(database, settings.drawId, settings.readOnly))
    port.postMessage({ kind: "opened" } satisfies Reply)
  } catch (error) {
    port.postMessage({ kind: "openFailed", reason: describeOpenFailure(error) } satisfies Reply)
    port.close()
  }
}

// In the bundle this is another file's URL, and `command.ts` decides.
if (import.meta.url.endsWith("/SqliteWorker.ts") && workerData?.role === ROLE) run()
