/**
 * Compares the server's stored bets of an agency with the client's book. If they differ, nothing is
 * sent: a person must decide which is right.
 */
import { Data, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import * as Book from "../book/Book.ts"
import type { NativeServer } from "./NativeServer.ts"
import { upload } from "./NativeUpload.ts"

/** The server's book of the agency differs from the client's. */
export class AnotherBook extends Data.TaggedError("AnotherBook")<{
  readonly agency: Agency
  /** The number of bets that the server has stored. */
  readonly stored: number
  /** The number of bets in the client's book. */
  readonly total: number
  /** The first bet that differs, counted from 0, if it is known. */
  readonly position?: number | undefined
  /** The place of that bet in the client's book, such as `book.csv:17`. */
  readonly place?: string | undefined
}> {
  override get message(): string {
    const { agency, stored, total } = this
    return (
      `agency ${agency}: the server has a different book of ${stored} bets; this one has ${total}` +
      `${this.difference()}. To send this one instead, discard the server's book before the ` +
      `draw, where its store is: lottery discard --store URL --agency ${agency} --yes; then ` +
      "start this client again"
    )
  }

  private difference(): string {
    const { stored, place, position, total } = this
    if (position === undefined) return ""
    if (position < Math.min(stored, total)) {
      return `, and they first differ at ${place ?? `bet ${position + 1}`}`
    }
    const shorter = stored < total ? "the server's" : "this one"
    return `, and they are identical up to bet ${position}, where ${shorter} ends`
  }
}

/**
 * The server has fewer bets than it acknowledged: the book was discarded, or the server uses a
 * different store. Sending the book again automatically would undo a discard.
 */
export class BookGone extends Data.TaggedError("BookGone")<{
  readonly agency: Agency
  readonly acknowledged: number
  readonly stored: number
}> {
  override get message(): string {
    const { acknowledged, agency, stored } = this
    return (
      `agency ${agency}: the server acknowledged ${acknowledged} bets but now has ${stored}: the ` +
      "book was discarded, or the server uses a different store; to send the book again, start " +
      "the client again"
    )
  }
}

/** Returns whether the stored bets are the book's beginning, or all of it if finished. */
const isStored = Effect.fnUntraced(function* (book: Book.Book, welcome: Native.Welcome) {
  const { bets, finished, sha256 } = welcome
  if (bets > book.total || (finished && bets < book.total)) return false
  if (bets === book.total) return sha256 === book.sha256
  return bets === 0 || sha256 === (yield* Book.digestOfFirst(book, bets))
})

/**
 * Asks the server for the first position where the books differ. Returns the end of the shorter
 * book if that is the only difference, undefined if the server does not report a position.
 */
const firstDifference = Effect.fnUntraced(function* (
  server: NativeServer,
  book: Book.Book,
  welcome: Native.Welcome
) {
  const shared = Math.min(book.total, welcome.bets)
  if (shared === 0) return 0
  const bets = Book.first(book, shared)
  return yield* server.send(new Native.Compare({})).pipe(
    Effect.andThen(upload(server, welcome, 0, bets, () => Effect.void)),
    Effect.as(welcome.bets === book.total ? undefined : shared),
    Effect.catchTag("Refused", ({ code, position = shared }) =>
      Effect.succeed(code === "BookMismatch" && position < shared ? position : undefined)
    ),
    Effect.catchTag(["ConnectionLost", "BadAnswer", "BadMessage"], () => Effect.undefined)
  )
})

/** Fails unless the server has the book or its beginning, with at least `acknowledged` bets. */
export const check = Effect.fnUntraced(function* (
  server: NativeServer,
  agency: Agency,
  book: Book.Book,
  welcome: Native.Welcome,
  acknowledged: number
) {
  const { bets: stored } = welcome
  if (stored < acknowledged) return yield* new BookGone({ agency, acknowledged, stored })
  if (yield* isStored(book, welcome)) return
  // If the file changed since it was checked, report that instead.
  yield* Book.verify(book)
  const position = yield* firstDifference(server, book, welcome)
  const { total } = book
  const differs = position !== undefined && position < Math.min(stored, total)
  const place = differs ? yield* book.placeOf(position) : undefined
  return yield* new AnotherBook({ agency, stored, total, position, place })
})
