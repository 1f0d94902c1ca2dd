/**
 * Reads one agency's bets out of `bets.csv`, where they lie among those of others.
 */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch, BetBatchBuilder } from "../../../domain/BetBatch.ts"
import { type PageOf, StoreUnavailable } from "../BetStore.ts"
import type { Disk } from "../embedded/Disk.ts"
import type { CsvFile } from "./CsvFile.ts"
import { type AgencyMarks, MARK_BYTES, type Mark, scanRows } from "./CsvIndex.ts"
import { CsvRowReader, MAX_ROW_BYTES } from "./CsvRow.ts"

/** The most bytes that are read at once. */
const MAX_READ_BYTES = 128 * 1024
/** A page is given once it is that large. */
const PAGE_BYTES = 512 * 1024
/** Marks that are nearer to each other are read through, others jumped to. */
const NEAR_BYTES = 2 * MARK_BYTES

/** Rows of an agency that are read in one go. */
interface Stretch {
  readonly start: Mark
  /** The position of the agency's next row behind it. */
  readonly until: number
  /** About how many bytes it has. */
  readonly bytes: number
}

/** The stretches in which an agency's bets from one position to another lie. */
function* stretchesOf(marks: AgencyMarks, from: number, until: number): Generator<Stretch, void> {
  let start: Mark | undefined
  let last: Mark = { position: 0, offset: 0 }
  const stretch = (first: Mark, end: number): Stretch => {
    // From the last mark on there may be but one row, and then those of others.
    const rest = Math.min(end - last.position, MARK_BYTES / MAX_ROW_BYTES + 1) * MAX_ROW_BYTES
    return { start: first, until: Math.min(until, end), bytes: last.offset - first.offset + rest }
  }
  for (const mark of marks.from(from)) {
    if (start !== undefined) {
      const isNear = mark.offset - last.offset <= NEAR_BYTES
      const isLong = mark.offset - start.offset > MAX_READ_BYTES
      if (mark.position >= until || !isNear || isLong) {
        yield stretch(start, mark.position)
        start = undefined
      }
    }
    if (mark.position >= until) return
    start ??= mark
    last = mark
  }
  if (start !== undefined) yield stretch(start, until)
}

/** Some of an agency's bets, as `BetStore.page` says; all of its editions are one here. */
export const readPage = Effect.fnUntraced(function* (
  disk: Disk,
  { file, index, length }: Readonly<CsvFile>,
  agency: Agency,
  { from, until }: Pick<PageOf, "from" | "until">
) {
  const marks = index.of(agency)
  if (marks === undefined) return BetBatch.empty
  const builder = new BetBatchBuilder()
  const row = new CsvRowReader()
  for (const stretch of stretchesOf(marks, from, Math.min(until, marks.bets))) {
    let { position } = stretch.start
    const isMore = () => position < stretch.until && builder.byteLength < PAGE_BYTES
    const { offset } = stretch.start
    const end = yield* scanRows(disk, file, offset, length, stretch.bytes, row, () => {
      if (row.agency !== agency) return true
      if (position >= from) row.addTo(builder)
      position++
      return isMore()
    }).pipe(Effect.mapError(({ reason }) => new StoreUnavailable({ reason })))
    if (isMore()) {
      const reason =
        `bet ${position} of agency ${agency} is not there up to byte ${end}: ` +
        "the file was changed after it was opened"
      return yield* new StoreUnavailable({ reason })
    }
    if (builder.byteLength >= PAGE_BYTES) break
  }
  return builder.build()
})
