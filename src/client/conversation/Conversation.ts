/** The interface of all client dialects: send a book, then receive the agency's winners. */
import { Effect, type FileSystem } from "effect"
import { ActionLine, logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { WinningDocuments } from "../../domain/Draw.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import { type Book, type BookFailure, endOf, type PositionedBatch } from "../book/Book.ts"
import type { DialectCheck } from "../book/BookParser.ts"
import type { BrokenPromise } from "../evidence/BrokenPromise.ts"
import type { ServerAddress, ServerFailure } from "../ServerFailure.ts"
import type { UploadProgress } from "../UploadProgress.ts"
import type { AnotherBook, BookGone } from "./StoredBook.ts"

export interface Servers {
  readonly server: ServerAddress
  /** Used only by the JSON dialect. */
  readonly winnersServer: ServerAddress
}

export type ConversationError =
  | ServerFailure
  | BookFailure
  | AnotherBook
  | BookGone
  | BadMessage
  | BrokenPromise

export interface Conversation {
  readonly check: DialectCheck
  /** Maximum bytes of canonical rows that always fit in one message. */
  readonly maxBatchBytes: number
  /**
   * Sends the book, waits for the draw and returns the agency's winners. Reconnects whenever the
   * connection is lost; fails only if a retry cannot help.
   */
  readonly hold: (
    book: Book,
    servers: Servers,
    progress: UploadProgress
  ) => Effect.Effect<WinningDocuments, ConversationError, FileSystem.FileSystem>
}

/** Refuses a name that contains the dialect's separator: the dialect cannot quote it. */
export const namesWithout = (separator: string, dialect: string): DialectCheck => {
  const byte = separator.charCodeAt(0)
  const message = `a name cannot contain "${separator}" in the ${dialect} dialect`
  return (source, spans) => {
    if (source.subarray(spans[0], spans[1]).includes(byte)) return { field: "first name", message }
    if (source.subarray(spans[2], spans[3]).includes(byte)) return { field: "last name", message }
    return undefined
  }
}

/** Logs acknowledged bets and records the progress. Logs the bet itself if it is the only one. */
export const reportAcknowledged = (
  agencia: Agency,
  sent: PositionedBatch,
  progress: UploadProgress
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { batch } = sent
    const line = new ActionLine("apuestas_enviadas", "success", { agencia, cantidad: batch.count })
    return progress.isShown ? Effect.logDebug(line) : Effect.logInfo(line)
  }).pipe(
    Effect.andThen(progress.total === 1 ? logBets(sent.batch) : Effect.void),
    Effect.flatMap(() => progress.acknowledge(endOf(sent)))
  )

const logBets = (batch: BetBatch) =>
  Effect.forEach(
    batch,
    ({ document, number }) =>
      logAction("apuesta_enviada", "success", { dni: document, numero: number }),
    { discard: true }
  )
