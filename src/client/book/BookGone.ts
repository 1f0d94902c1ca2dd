/** The server holds less of the agency's book than it has acknowledged. */
import { Data } from "effect"
import type { Agency } from "../../domain/Agency.ts"

/**
 * What was acknowledged does not vanish by itself: the book was discarded, or this is another
 * store. To send it again without being told to would bring back what somebody has dropped.
 */
export class BookGone extends Data.TaggedError("BookGone")<{
  readonly agency: Agency
  readonly acknowledged: number
  readonly held: number
}> {
  override get message(): string {
    const { acknowledged, agency, held } = this
    return (
      `agency ${agency}: the server had acknowledged ${acknowledged} bets and now holds ${held}: ` +
      "the book was discarded, or its store is another one; start again to send the book anew"
    )
  }
}
