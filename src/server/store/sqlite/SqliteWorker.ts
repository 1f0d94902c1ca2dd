/**
 * The worker thread of the SQLite store: only this thread waits for the disk. It imports no
 * library, for a worker must start at once.
 *
 * In the shipped bundle `command.ts` calls `run` if `workerData.role` is `ROLE`; in source form
 * this file is the worker's entry and starts itself.
 */
import { parentPort, workerData } from "node:worker_threads"
import type { Write } from "../embedded/GroupCommit.ts"
import { SqliteBooks } from "./SqliteBooks.ts"
import { type FileSettings, failureOf, openFile } from "./SqliteFile.ts"

const ROLE = "lottery/sqlite"

/** What the worker is started with. */
export interface Settings extends FileSettings {
  readonly role: typeof ROLE
}

/** The methods that the other thread may call, the first of which opens the file. */
export type Calls = { readonly open: () => void } & Pick<
  SqliteBooks,
  "commit" | "draw" | "progress" | "progressOf" | "page" | "winners" | "close"
>

export interface Request {
  readonly method: keyof Calls
  readonly args: ReadonlyArray<unknown>
}

/** Requests are answered in order. */
export type Reply =
  | { readonly answer: unknown }
  | { readonly failed: string }
  /** Not an answer: a sync failed after the answer to a commit. */
  | { readonly broken: string }

/** Frees the memory of rows at once; the collector would wait until there is much more of it. */
const forgetRows = (writes: ReadonlyArray<Write>): void => {
  for (const write of writes) {
    if (write.kind !== "append") continue
    // They were transferred, so nothing else uses them.
    for (const run of write.runs) (run.buffer as ArrayBuffer).transfer(0)
  }
}

/** The worker's program: serves the thread that started it, with the file of `workerData`. */
export const run = (): void => {
  const port = parentPort
  if (port === null) throw new Error("the SQLite worker must be started as a worker")
  const reply = (message: Reply) => port.postMessage(message)

  let books: SqliteBooks
  const open = () => {
    const settings = workerData as Settings
    books = new SqliteBooks(openFile(settings), settings.drawId, settings.readOnly)
  }
  port.on("message", ({ args, method }: Request) => {
    try {
      reply({ answer: method === "open" ? open() : Reflect.apply(books[method], books, args) })
    } catch (error) {
      reply({ failed: failureOf(error).reason })
    }
    if (method !== "commit") return
    forgetRows(args[0] as ReadonlyArray<Write>)
    // After the answer, which need not wait for the copying.
    const failure = books.checkpoint()
    if (failure !== undefined) reply({ broken: failure.reason })
  })
}

// In the bundle this is another file's URL, and `command.ts` decides.
if (import.meta.url.endsWith("/SqliteWorker.ts") && workerData?.role === ROLE) run()
