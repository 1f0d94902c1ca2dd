/**
 * The marks of finished books, in `bets.csv.marks`. The state has the offset of each book's marks.
 * More is only written behind everything in the file, so that a crash leaves at most marks that no
 * state refers to, as a discard does.
 */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { firstDifference, marksLength } from "../../../domain/seal/MarkedDigest.ts"
import type { FinishedDigest } from "../BetStore.ts"
import { type Disk, openScoped, readFile, replaceFile, writeAll } from "../embedded/Disk.ts"
import { type CsvFile, unusable } from "./CsvFile.ts"

/** A finished book as the state records it. Earlier versions recorded less. */
export interface RecordedBook extends Partial<Omit<FinishedDigest, "bets" | "marks">> {
  readonly bets: number
  /** The offset of the book's marks; undefined until they are stored. */
  readonly marksAt?: number | undefined
}

/** A recorded book with its marks. */
export type MarkedBook = RecordedBook & FinishedDigest

type Books = ReadonlyMap<Agency, MarkedBook>

const NO_MARKS = new Uint8Array(0)

const marksPath = (path: string): string => `${path}.marks`

const isPlaced = ({ marks, marksAt }: MarkedBook): boolean =>
  marksAt !== undefined && marks.length > 0

/** Durably adds marks to the file, or replaces it with the first ones. Returns their offset. */
const addMarks = Effect.fnUntraced(function* (
  { disk, file: store }: CsvFile,
  path: string,
  marks: Uint8Array,
  areFirst: boolean
) {
  if (areFirst) {
    yield* replaceFile(disk, path, marks, store)
    return 0
  }
  const file = yield* openScoped(disk, path, "r+")
  const end = yield* disk.size(file)
  yield* writeAll(disk, file, marks, end)
  yield* disk.syncData(file)
  return end
}, Effect.scoped)

/**
 * Durably writes the marks of books without an offset. Returns all books with offsets, for the
 * state. Writes nothing for books that are too short for a mark.
 */
export const placeMarks = Effect.fnUntraced(function* (csv: CsvFile, path: string, books: Books) {
  const unplaced: Array<Uint8Array> = []
  let areFirst = true
  for (const book of books.values()) {
    if (book.marksAt === undefined) unplaced.push(book.marks)
    else if (isPlaced(book)) areFirst = false
  }
  if (unplaced.length === 0) return books
  const marks = Buffer.concat(unplaced)
  let end = marks.length > 0 ? yield* addMarks(csv, marksPath(path), marks, areFirst) : 0
  const placed = new Map<Agency, MarkedBook>()
  books.forEach((book, agency) => {
    placed.set(agency, book.marksAt === undefined ? { ...book, marksAt: end } : book)
    if (book.marksAt === undefined) end += book.marks.length
  })
  return placed
})

/** Reads the marks file; undefined if it does not exist. */
const readMarks = (disk: Disk, path: string) => readFile(disk, marksPath(path))

/** Returns the marks of a book of this length at an offset; none if they are not all there. */
const marksIn = (file: Uint8Array | undefined, marksAt: number, bytes: number): Uint8Array => {
  const end = marksAt + marksLength(bytes)
  return file !== undefined && end <= file.length ? file.subarray(marksAt, end) : NO_MARKS
}

/** Returns the books with the marks that are stored, if they are recorded. */
export const withStoredMarks = (disk: Disk, path: string, books: Books) =>
  Effect.map(readMarks(disk, path), (file) => {
    const stored = (book: MarkedBook): MarkedBook =>
      book.marksAt === undefined
        ? book
        : { ...book, marks: marksIn(file, book.marksAt, book.bytes) }
    return new Map(Array.from(books, ([agency, book]) => [agency, stored(book)]))
  })

/** Returns where a book differs first from the recorded one, as far as the marks are stored. */
export const whereChanged = Effect.fnUntraced(function* (
  disk: Disk,
  path: string,
  { bytes, marksAt, sha256 }: RecordedBook,
  book: MarkedBook
) {
  if (bytes === undefined || marksAt === undefined || sha256 === undefined) return undefined
  const marks = marksIn(yield* readMarks(disk, path), marksAt, bytes)
  if (marks.length < marksLength(bytes)) return undefined
  return firstDifference({ bytes, sha256, marks }, book)
})

/** Fails unless the marks file has the marks of all books that are recorded with an offset. */
export const checkMarks = Effect.fnUntraced(function* (disk: Disk, path: string, books: Books) {
  const placed = [...books.values()].filter(isPlaced)
  if (placed.length === 0) return
  const found = yield* readMarks(disk, path)
  const isStored = ({ bytes, marks, marksAt = 0 }: MarkedBook) =>
    Buffer.from(marks).equals(marksIn(found, marksAt, bytes))
  if (placed.every(isStored)) return
  const problem = found === undefined ? "is missing" : "is not the one of its books"
  return yield* unusable(
    `damaged: its marks file ${marksPath(path)} ${problem} ` +
      "(restore it, the store and its state file from the same backup)"
  )
})
