/** Answers queries to an open CSV store: the progress of agencies and the rows of their books. */
import { Effect, Option } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch, BetBatchBuilder } from "../../../domain/BetBatch.ts"
import { type AgencyProgress, StoreOpenError, StoreUnavailable } from "../BetStore.ts"
import type { PageRange } from "../BookOptions.ts"
import type { DiskError } from "../embedded/Disk.ts"
import { pagedBook } from "../PagedBook.ts"
import { readEntries } from "./CsvEntries.ts"
import { type CsvFile, scanRows } from "./CsvFile.ts"
import type { AgencyMarks } from "./CsvIndex.ts"
import type { MarkedBook } from "./CsvMarks.ts"
import { CsvRowReader, MARK_BYTES, MAX_ROW_BYTES } from "./CsvRow.ts"
import type { CheckedState } from "./CsvState.ts"
import { readWinners, scanWinners } from "./CsvWinners.ts"

export interface KnownBooks {
  /** Canonical path. */
  readonly path: string
  readonly csv: CsvFile
  readonly state: CheckedState
  /** The number of discards of each agency's book since the store was opened. */
  readonly editions: ReadonlyMap<Agency, number>
}

const progressOf = ({ csv, editions, state }: KnownBooks, agency: Agency): AgencyProgress => ({
  bets: csv.index.bets(agency),
  finished: state.finished.has(agency),
  excluded: state.excluded.has(agency),
  told: state.told.has(agency),
  edition: editions.get(agency) ?? 0
})

const progressOfAll = (books: KnownBooks): ReadonlyMap<Agency, AgencyProgress> => {
  const { csv, editions, state } = books
  // Agencies with a discarded book are included: their edition has changed.
  const agencies = new Set([
    ...csv.index.keys(),
    ...state.finished.keys(),
    ...state.excluded,
    ...state.told,
    ...editions.keys()
  ])
  const ascending = [...agencies].sort((one, other) => one - other)
  return new Map(ascending.map((agency) => [agency, progressOf(books, agency)]))
}

const winnersOf = Effect.fnUntraced(function* ({ csv, path, state }: KnownBooks) {
  const { drawn, winningNumber } = state.opened ?? {}
  if (!drawn) return new Map<Agency, BetBatch>()
  // An earlier version did not record the winners, and a backup may be without their file. The
  // finished books were checked when the file was opened.
  const recorded = yield* readWinners(csv.disk, path, state.winners)
  return recorded ?? (yield* scanWinners(csv, winningNumber!, state.excluded))
})

export const digestsOf = (finished: ReadonlyMap<Agency, MarkedBook>) => {
  const ascending = [...finished].sort(([one], [other]) => one - other)
  return new Map(ascending.map(([agency, { marksAt: _, ...digest }]) => [agency, digest]))
}

const evidenceOf = ({ csv, path, state }: KnownBooks) => {
  const { entries, result, seal } = state
  return Effect.map(readEntries(csv.disk, path, entries), (text) => ({
    entries: text,
    seal,
    result
  }))
}

/** Each answer reflects the books at the time of the call. */
export const storedBooks = (
  books: KnownBooks,
  page: (agency: Agency, of: PageRange) => Effect.Effect<BetBatch, StoreUnavailable>
) => {
  const progressIn = (agency: Agency) => Effect.sync(() => progressOf(books, agency))
  return {
    draw: Effect.sync(() => Option.fromUndefinedOr(books.state.opened)),
    progress: Effect.sync(() => progressOfAll(books)),
    progressOf: progressIn,
    book: (agency: Agency, from: number) => pagedBook(agency, from, progressIn(agency), page),
    winners: Effect.mapError(
      Effect.suspend(() => winnersOf(books)),
      toUnavailable
    ),
    digests: Effect.sync(() => digestsOf(books.state.finished)),
    evidence: Effect.mapError(
      Effect.suspend(() => evidenceOf(books)),
      toUnavailable
    )
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

/** The maximum bytes per read. */
const MAX_READ_BYTES = 128 * 1024
/** A page ends once it has this many bytes. */
const PAGE_BYTES = 512 * 1024
/** Marks this close together are read in one go; the reader jumps over larger gaps. */
const NEAR_BYTES = 2 * MARK_BYTES

/**
 * Plans one read that starts at a mark and ends at the first mark that is too far from its
 * predecessor or from the start. `end` is the position after the last row; `bytes` is an estimate.
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
  const end = Math.min(mark?.position ?? until, until)
  // The agency may have only one row after the last mark, followed by rows of other agencies.
  const rest = Math.min(end - last.position, MARK_BYTES / MAX_ROW_BYTES + 1) * MAX_ROW_BYTES
  const bytes = last.offset - start.offset + rest
  return { start, end, bytes, next }
}

/** Implements `BetStore.page`, except that it ignores the edition. */
export const readPage = Effect.fnUntraced(function* (
  csv: CsvFile,
  agency: Agency,
  { from, until }: PageRange
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
        `bet ${position} of agency ${agency} is missing before byte ${readEnd}: ` +
        "the file was changed after it was opened"
      return yield* new StoreUnavailable({ reason })
    }
    mark = next
  }
  return builder.build()
})
