/**
 * The worker thread of the SQLite store, the only thread that waits for the disk. It imports no
 * library so that it starts fast.
 *
 * In the shipped bundle `entry.ts` calls `run` if `workerData.role` is `ROLE`; in source form this
 * file is the worker's entry and starts itself.
 */
import { parentPort, workerData } from "node:worker_threads"
import type { Write } from "../embedded/Write.ts"
import { SqliteBooks } from "./SqliteBooks.ts"
import { type FileSettings, failureOf, openFile } from "./SqliteFile.ts"

const ROLE = "lottery/sqlite"

export interface Settings extends FileSettings {
  readonly role: typeof ROLE
}

/** The methods that the main thread may call; `open` must come first. */
export type Calls = { readonly open: () => void } & Pick<
  SqliteBooks,
  | "commit"
  | "draw"
  | "draws"
  | "progress"
  | "progressOf"
  | "page"
  | "winners"
  | "digests"
  | "evidence"
  | "close"
>

export interface Request {
  readonly method: keyof Calls
  readonly args: ReadonlyArray<unknown>
}

/** Replies come in the order of the requests. */
export type Reply =
  | { readonly answer: unknown }
  | { readonly failed: string }
  /** Unsolicited: a sync failed after the reply to a commit. */
  | { readonly broken: string }

/** Frees the rows' memory now; the garbage collector would let much more of it pile up first. */
const forgetRows = (writes: ReadonlyArray<Write>): void => {
  for (const write of writes) {
    if (write.kind !== "append") continue
    // Safe because the rows were transferred to this thread.
    for (const run of write.runs) (run.buffer as ArrayBuffer).transfer(0)
  }
}

export const run = (): void => {
  const port = parentPort
  if (port === null) throw new Error("the SQLite worker must run in a worker thread")
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
    // After the reply, which does not have to wait for the checkpoint.
    const failure = books.checkpoint()
    if (failure !== undefined) reply({ broken: failure.reason })
  })
}

if (import.meta.url.endsWith("/SqliteWorker.ts") && workerData?.role === ROLE) run()
