/** What is asked of an open CSV store: how far agencies have come, and the rows of their books. */
import { Effect, Option } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch, BetBatchBuilder } from "../../../domain/BetBatch.ts"
import { type AgencyProgress, type PageOf, StoreOpenError, StoreUnavailable } from "../BetStore.ts"
import type { DiskError } from "../embedded/Disk.ts"
import { pagedBook } from "../PagedBook.ts"
import { type CsvFile, scanRows } from "./CsvFile.ts"
import type { AgencyMarks } from "./CsvIndex.ts"
import { CsvRowReader, MARK_BYTES, MAX_ROW_BYTES } from "./CsvRow.ts"
import type { FoundState } from "./CsvState.ts"

/** What is known of the books at a moment. */
export interface KnownBooks {
  readonly csv: CsvFile
  readonly state: FoundState
  /** How many books of an agency were discarded since the store was opened. */
  readonly editions: ReadonlyMap<Agency, number>
}

const progressOf = ({ csv, editions, state }: KnownBooks, agency: Agency): AgencyProgress => ({
  bets: csv.index.bets(agency),
  finished: state.finished.has(agency),
  told: state.told.has(agency),
  edition: editions.get(agency) ?? 0
})

const progressOfAll = (books: KnownBooks): ReadonlyMap<Agency, AgencyProgress> => {
  const { csv, editions, state } = books
  // An agency whose book was discarded counts too: its next book is another edition.
  const agencies = new Set([
    ...csv.index.keys(),
    ...state.finished.keys(),
    ...state.told,
    ...editions.keys()
  ])
  const ascending = [...agencies].sort((one, other) => one - other)
  return new Map(ascending.map((agency) => [agency, progressOf(books, agency)]))
}

const drawOf = ({ state: { opened, recorded } }: KnownBooks) =>
  Option.map(Option.fromUndefinedOr(opened), (terms) => ({ ...terms, recorded }))

/** Answers from what is known when it is asked. */
export const storedBooks = (
  books: KnownBooks,
  page: (agency: Agency, of: PageOf) => Effect.Effect<BetBatch, StoreUnavailable>
) => {
  const progressIn = (agency: Agency) => Effect.sync(() => progressOf(books, agency))
  return {
    draw: Effect.sync(() => drawOf(books)),
    progress: Effect.sync(() => progressOfAll(books)),
    progressOf: progressIn,
    book: (agency: Agency, from: number) => pagedBook(agency, from, progressIn(agency), page)
  }
}

type Failure = DiskError | StoreOpenError

export const toUnavailable = ({ reason }: Failure) => new StoreUnavailable({ reason })

export const toOpenError =
  (store: string) =>
  (error: Failure): StoreOpenError => {
    if (error._tag === "StoreOpenError") return error
    const isMissing = error.code === "ENOENT"
    const reason = isMissing ? "there is no such file or folder" : error.reason
    return new StoreOpenError({ store, reason })
  }

/** The most bytes that are read at once. */
const MAX_READ_BYTES = 128 * 1024
/** A page is given once it is that large. */
const PAGE_BYTES = 512 * 1024
/** Marks that are nearer to each other are read through, others jumped to. */
const NEAR_BYTES = 2 * MARK_BYTES

/**
 * The rows of an agency that are read in one go from a mark on, up to the first one that is too far
 * from the mark before it or from the start.
 */
const stretchFrom = (marks: AgencyMarks, first: number, until: number) => {
  const start = marks.at(first)!
  let last = start
  let next = first + 1
  let mark = marks.at(next)
  while (mark !== undefined && mark.position < until) {
    const isNear = mark.offset - last.offset <= NEAR_BYTES
    if (!isNear || mark.offset - start.offset > MAX_READ_BYTES) break
    last = mark
    mark = marks.at(++next)
  }
  /** The position behind the rows. */
  const end = Math.min(mark?.position ?? until, until)
  // From the last mark on there may be one row only, and then those of others.
  const rest = Math.min(end - last.position, MARK_BYTES / MAX_ROW_BYTES + 1) * MAX_ROW_BYTES
  /** About how many bytes they have. */
  const bytes = last.offset - start.offset + rest
  return { start, end, bytes, next }
}

/** Some of an agency's bets, as `BetStore.page` says; all of its editions are one here. */
export const readPage = Effect.fnUntraced(function* (
  csv: CsvFile,
  agency: Agency,
  { from, until }: PageOf
) {
  const { index, length } = csv
  const marks = index.get(agency)
  if (marks === undefined) return BetBatch.empty
  const builder = new BetBatchBuilder()
  const row = new CsvRowReader()
  const last = Math.min(until, marks.bets)
  let position = from
  let mark = marks.before(from)
  while (position < last && builder.byteLength < PAGE_BYTES) {
    const { bytes, end, next, start } = stretchFrom(marks, mark, last)
    position = start.position
    const isMore = () => position < end && builder.byteLength < PAGE_BYTES
    const readEnd = yield* scanRows(csv, [start.offset, length], bytes, row, () => {
      if (row.agency !== agency) return true
      if (position >= from) row.addTo(builder)
      position++
      return isMore()
    }).pipe(Effect.mapError(toUnavailable))
    if (isMore()) {
      const reason =
        `bet ${position} of agency ${agency} is not there up to byte ${readEnd}: ` +
        "the file was changed after it was opened"
      return yield* new StoreUnavailable({ reason })
    }
    mark = next
  }
  return builder.build()
})
