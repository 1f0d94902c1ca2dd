/** The server holds another book of the agency than the one that is to be sent. */
import { Data, Effect, Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import type { NativeServer } from "../conversation/NativeServer.ts"
import { type FrameLimits, upload } from "../conversation/NativeUpload.ts"
import type { Book } from "./Book.ts"
import * as BookPass from "./BookPass.ts"

/** Nothing is sent to a book that is not this one; a person decides which of them is right. */
export class AnotherBook extends Data.TaggedError("AnotherBook")<{
  readonly agency: Agency
  /** How many bets the server holds. */
  readonly held: number
  /** How many bets the book here has. */
  readonly total: number
  /** The first bet that is not the same, counted from 0, where that could be found. */
  readonly position?: number | undefined
  /** Where in the book here that bet stands, such as `book.csv:17`. */
  readonly place?: string | undefined
}> {
  override get message(): string {
    const { agency, held, total } = this
    return (
      `agency ${agency}: the server holds another book, of ${held} bets; this one has ${total}` +
      `${this.difference()}. To send this one instead, drop the other before the draw, ` +
      `where the server's store is: lottery discard --store URL --agency ${agency} --yes; ` +
      "once the draw is held, it takes a new draw"
    )
  }

  private difference(): string {
    const { held, place, position, total } = this
    if (position === undefined) return ""
    if (position < Math.min(held, total)) {
      return `, and they first differ at ${place ?? `bet ${position + 1}`}`
    }
    const shorter = held < total ? "the server's" : "this one"
    return `, and they are the same up to bet ${position}, where ${shorter} ends`
  }
}

/**
 * The first position at which the book differs from the one that is held, which the server is
 * asked to compare; the end of the shorter one where they are the same so far. Undefined where the
 * server does not say: that they differ is known, whatever becomes of the question.
 */
export const firstDifference = Effect.fnUntraced(function* (
  server: NativeServer,
  book: Book,
  held: number,
  limits: FrameLimits
) {
  const shared = Math.min(book.total, held)
  if (shared === 0) return 0
  const compared = Effect.andThen(
    server.say(new Native.Compare({})),
    upload(server, {
      limits,
      start: 0,
      bets: BookPass.first(book, shared),
      onAcknowledged: () => Effect.void
    })
  )
  const outcome = yield* Effect.result(compared)
  if (Result.isSuccess(outcome)) return held === book.total ? undefined : shared
  const { failure } = outcome
  switch (failure._tag) {
    case "Refused": {
      const { code, position } = failure
      return code === "BookMismatch" && position !== undefined && position < shared
        ? position
        : undefined
    }
    case "ConnectionLost":
    case "BadAnswer":
    case "BadMessage":
      return undefined
    default:
      return yield* failure
  }
})
