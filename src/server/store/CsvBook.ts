/**
 * Reads one agency's bets out of `bets.csv`, where they lie among those of others.
 */
import { Effect, Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { type BetBatch, BetBatchBuilder } from "../../domain/BetBatch.ts"
import { StoreUnavailable } from "../BetStore.ts"
import type { CsvFile } from "./CsvFile.ts"
import { type AgencyMarks, type Mark, scanRows } from "./CsvIndex.ts"
import { CsvRowReader } from "./CsvRow.ts"
import type { Disk } from "./Disk.ts"

/** Bytes read at once: more would mostly be rows of others. */
const READ_BYTES = 128 * 1024
/** A batch of the stream is given once it is that large. */
const BATCH_BYTES = 512 * 1024
/** A gap between two spans that is sooner read than jumped over. */
const SMALL_GAP_BYTES = 64 * 1024

/** Where the reading of a book has come to. */
interface Cursor {
  /** The position of the agency's next row from `offset` on. */
  position: number
  offset: number
  /** The number of the mark that comes next. */
  nextMark: number
}

const toUnavailable = (error: { readonly reason: string }) =>
  new StoreUnavailable({ reason: error.reason })

/** The bets of an agency from a position on, as they are held now; in batches. */
export const readBook = (
  disk: Disk,
  csv: CsvFile,
  agency: Agency,
  from: number
): Stream.Stream<BetBatch, StoreUnavailable> =>
  Stream.suspend(() => {
    const marks = csv.index.of(agency)
    const nearest = marks?.nearest(from) ?? -1
    const mark = marks?.mark(nearest)
    if (marks === undefined || mark === undefined) return Stream.empty
    const held = marks.bets
    const length = csv.length
    const cursor: Cursor = { ...mark, nextMark: nearest + 1 }
    return Stream.unfold(cursor, (at) =>
      Effect.map(readBatch(disk, csv, agency, { marks, held, length, from }, at), (batch) =>
        batch.count === 0 ? undefined : ([batch, at] as const)
      )
    )
  })

interface Wanted {
  readonly marks: AgencyMarks
  readonly held: number
  readonly length: number
  readonly from: number
}

/** Reads on until a batch is full or the book ends; moves the cursor. */
const readBatch = Effect.fnUntraced(function* (
  disk: Disk,
  csv: CsvFile,
  agency: Agency,
  { marks, held, length, from }: Wanted,
  cursor: Cursor
) {
  const builder = new BetBatchBuilder()
  const row = new CsvRowReader()
  while (cursor.position < held && builder.byteLength < BATCH_BYTES) {
    let jumpTo: Mark | undefined
    const end = yield* scanRows(
      disk,
      csv.file,
      cursor.offset,
      length,
      READ_BYTES,
      row,
      (_start, rowEnd) => {
        if (row.agency !== agency) return true
        if (cursor.position >= from) row.addTo(builder)
        cursor.position++
        if (cursor.position >= held || builder.byteLength >= BATCH_BYTES) return false
        const next = marks.mark(cursor.nextMark)
        if (next === undefined || next.position > cursor.position) return true
        cursor.nextMark++
        if (next.offset - rowEnd <= SMALL_GAP_BYTES) return true
        jumpTo = next
        return false
      }
    ).pipe(Effect.mapError(toUnavailable))
    const done = cursor.position >= held || builder.byteLength >= BATCH_BYTES
    if (!done && jumpTo === undefined) {
      const reason = `bet ${cursor.position} of agency ${agency} is not there up to byte ${end}`
      return yield* new StoreUnavailable({ reason })
    }
    cursor.offset = jumpTo?.offset ?? end
  }
  return builder.build()
})
