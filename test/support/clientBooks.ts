/** Books in memory, and what a client tells while it sends them. */
import { createHash } from "node:crypto"
import { Effect, Logger, Stream } from "effect"
import type { Book } from "../../src/client/book/Book.ts"
import type { UploadProgress } from "../../src/client/UploadProgress.ts"
import { ActionLine } from "../../src/domain/ActionLog.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"

/** A canonical row; every document is another bet. */
export const row = (document: number): string => `Ana,Perez,${document},1999-03-17,7574\n`

/** The rows of these documents. */
export const rows = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => row(from + index)).join("")

export const batchOf = (text: string): BetBatch =>
  new BetBatch(Buffer.from(text), text.split("\n").length - 1)

/** A book of these batches, which is read again as `then` where that is given. */
export const bookOf = (
  batches: ReadonlyArray<string>,
  then: ReadonlyArray<string> = batches
): Book => {
  const text = batches.join("")
  return {
    total: text.split("\n").length - 1,
    sha256: createHash("sha256").update(text).digest("hex"),
    batches: Stream.fromIterable(then.map(batchOf), { chunkSize: 1 }),
    placeOf: () => Effect.undefined
  }
}

export interface Told extends UploadProgress {
  /** Every count and standing that was told, and every interruption. */
  readonly told: ReadonlyArray<number | string>
  /** Whether the book was said to be finished. */
  readonly isFinished: () => boolean
}

/** Takes down all progress. */
export const takeDown = (): Told => {
  const told: Array<number | string> = []
  let isFinished = false
  const note = (what: number | string) => Effect.sync(() => void told.push(what))
  return {
    told,
    acknowledged: note,
    resumed: note,
    finished: Effect.sync(() => {
      isFinished = true
    }),
    isFinished: () => isFinished,
    waiting: (finished, expected) => note(`${finished} of ${expected}`),
    interrupted: note
  }
}

/** A log that is kept: its lines, a warning with its level before. */
export const keepLog = () => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    for (const part of Array.isArray(message) ? message : [message]) {
      const text = part instanceof ActionLine ? part.toString() : String(part)
      lines.push(logLevel === "Warn" ? `WARNING ${text}` : text)
    }
  })
  return { lines, layer: Logger.layer([logger]) }
}
