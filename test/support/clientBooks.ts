/** Books in memory, and recorders of a client's progress and log. */
import { createHash } from "node:crypto"
import { Effect, Logger, Stream } from "effect"
import type { Book } from "../../src/client/book/Book.ts"
import { UploadProgress, type Waiting } from "../../src/client/UploadProgress.ts"
import { ActionLine } from "../../src/domain/ActionLog.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"

/** Returns a canonical row. Each document gives a different bet. */
export const row = (document: number): string => `Ana,Perez,${document},1999-03-17,7574\n`

/** Returns the rows of the documents from `from` to `to` - 1. */
export const rows = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => row(from + index)).join("")

export const batchOf = (text: string): BetBatch =>
  new BetBatch(Buffer.from(text), text.split("\n").length - 1)

/** A book that contained `batches` when it was checked and contains `then` when it is sent. */
export const bookOf = (
  batches: ReadonlyArray<string>,
  then: ReadonlyArray<string> = batches
): Book => {
  const text = batches.join("")
  return {
    total: text.split("\n").length - 1,
    bytes: Buffer.byteLength(text),
    sha256: createHash("sha256").update(text).digest("hex"),
    batches: Stream.fromIterable(then.map(batchOf), { chunkSize: 1 }),
    placeOf: () => Effect.undefined
  }
}

class RecordedProgress extends UploadProgress {
  readonly told: Array<number | string> = []

  override acknowledge(bets: number) {
    this.told.push(bets)
    return super.acknowledge(bets)
  }

  override wait(waiting: Waiting) {
    this.told.push(`${waiting.finished} of ${waiting.expected}`)
    return super.wait(waiting)
  }

  override interrupt(reason: string) {
    this.told.push(reason)
    return super.interrupt(reason)
  }
}

/** Returns a progress for `total` bets that records every change in `told`. */
export const recordProgress = (total = 2) => new RecordedProgress(total)

/** Returns a logger that collects its lines, warnings with the prefix WARNING. */
export const keepLog = () => {
  const lines: Array<string> = []
  /** The level of each line. */
  const levels: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    for (const part of Array.isArray(message) ? message : [message]) {
      const text = part instanceof ActionLine ? part.toString() : String(part)
      lines.push(logLevel === "Warn" ? `WARNING ${text}` : text)
      levels.push(logLevel)
    }
  })
  return { levels, lines, layer: Logger.layer([logger]) }
}
