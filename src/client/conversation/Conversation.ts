/** What every dialect of the client has: a book goes up, and the agency's winners come back. */
import type { Effect, FileSystem } from "effect"
import type { WinningDocuments } from "../../domain/Draw.ts"
import type { FileUnavailable } from "../../domain/FileUnavailable.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { AnotherBook } from "../book/AnotherBook.ts"
import type { Book } from "../book/Book.ts"
import type { BookGone } from "../book/BookGone.ts"
import type { BadLine, BetCheck } from "../book/BookParser.ts"
import type { BookChanged } from "../book/BookPass.ts"
import type {
  BadAnswer,
  NotTrusted,
  Refused,
  ServerAddress,
  Unreachable
} from "../ServerConnection.ts"
import type { TlsMismatch } from "../TlsMismatch.ts"
import type { UploadProgress } from "../UploadProgress.ts"

/** Where the server is; the second address is used by the JSON dialect. */
export interface Servers {
  readonly server: ServerAddress
  readonly winnersServer: ServerAddress
}

export type ConversationError =
  | Unreachable
  | NotTrusted
  | TlsMismatch
  | ConnectionLost
  | Refused
  | BookChanged
  | AnotherBook
  | BookGone
  | BadMessage
  | BadAnswer
  | BadLine
  | FileUnavailable

export interface Conversation {
  /** What the dialect cannot say of a bet. */
  readonly check: BetCheck
  /** The most bytes of canonical rows that fit one message, whatever the rows. */
  readonly maxBatchBytes: number
  /**
   * Sends the book, waits for the draw, gives the agency's winners. Connects again, and again,
   * where the connection is lost; fails only with what trying again does not mend.
   */
  readonly hold: (
    book: Book,
    servers: Servers,
    progress: UploadProgress
  ) => Effect.Effect<WinningDocuments, ConversationError, FileSystem.FileSystem>
}

/** Refuses a name that holds the separator of a dialect, which has no way to quote it. */
export const namesWithout = (separator: string, dialect: string): BetCheck => {
  const byte = separator.charCodeAt(0)
  const message = `a name cannot hold "${separator}" in the ${dialect} dialect`
  const holds = (source: Uint8Array, start: number, end: number): boolean => {
    for (let at = start; at < end; at++) if (source[at] === byte) return true
    return false
  }
  return (source, spans) => {
    if (holds(source, spans[0]!, spans[1]!)) return { field: "first name", message }
    if (holds(source, spans[2]!, spans[3]!)) return { field: "last name", message }
    return undefined
  }
}
