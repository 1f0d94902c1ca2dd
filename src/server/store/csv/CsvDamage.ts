/**
 * What is found in a `bets.csv` that is opened: whole, with the end that a crash can have left, or
 * damaged by something else. Only the first two are opened, and only what a crash left is cut.
 */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { CR, LF } from "../../../domain/BetRow.ts"
import { StoreOpenError } from "../BetStore.ts"
import { type Disk, readBytes, replaceFile } from "../embedded/Disk.ts"
import type { CsvBookHashes } from "./CsvBookHashes.ts"
import type { CsvFile } from "./CsvFile.ts"
import { CsvRowReader, MAX_ROW_BYTES } from "./CsvRow.ts"
import type { FinishedBook, FoundState } from "./CsvState.ts"

/** The cure for bets that are missing or changed. */
const RESTORE = "(restore it and its state file from the same moment)"

/** Fails if the file is shorter than when it was last synced. */
export const checkSize = (
  store: string,
  state: FoundState | undefined,
  size: number
): Effect.Effect<void, StoreOpenError> => {
  const synced = state?.synced ?? 0
  if (size >= synced) return Effect.void
  const reason =
    `damaged: ${synced - size} bytes are missing at its end; it has ${size}, and its state file ` +
    `says that ${synced} were stored ${RESTORE}`
  return Effect.fail(new StoreOpenError({ store, reason }))
}

const isRow = (bytes: Uint8Array): boolean =>
  new CsvRowReader().read(bytes, 0, bytes.length) === true

/** A file that others write may begin, or end its lines, in a way that has a name. */
const describeRow = (bytes: Uint8Array, offset: number): string => {
  if (offset === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return "it begins with a byte order mark; remove its first 3 bytes (tail -c +4)"
  }
  if (offset === 0 && (bytes[0] === 0xff || bytes[0] === 0xfe)) {
    return "it begins as UTF-16; convert it to UTF-8 without a byte order mark"
  }
  const lineEnd = bytes.indexOf(LF)
  if (lineEnd > 1 && bytes[lineEnd - 1] === CR && bytes[lineEnd - 2] === CR) {
    return "its lines end in CR CR LF; remove one CR of each (sed -i 's/\\r\\r$/\\r/')"
  }
  if (lineEnd === 0 || (lineEnd === 1 && bytes[0] === CR)) return "there is an empty line"
  if (lineEnd === -1 && isRow(Buffer.concat([bytes, Buffer.of(LF)]))) {
    return "its last row has no line end"
  }
  return "what stands there is not a bet"
}

/** Whether a row begins behind any line end of the bytes. */
const hasRows = (bytes: Uint8Array): boolean => {
  const reader = new CsvRowReader()
  for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (reader.read(bytes, at + 1, bytes.length) === true) return true
  }
  return false
}

/** Why the end of a file cannot be what a crash left there; undefined if it can. */
const reasonAgainstCut = (
  state: FoundState | undefined,
  rowsEnd: number,
  rest: Uint8Array
): string | undefined => {
  const what = describeRow(rest, rowsEnd)
  if (state === undefined) return `damaged at byte ${rowsEnd}, or not a store: ${what}`
  const { synced } = state
  if (synced !== undefined && rowsEnd < synced) {
    return `damaged at byte ${rowsEnd}: ${what}, and ${synced} bytes were stored ${RESTORE}`
  }
  if (synced === undefined && hasRows(rest)) {
    return `damaged at byte ${rowsEnd}: ${what}, and bets follow it`
  }
  return undefined
}

/**
 * What must be cut of a file whose rows end at its `length`. Only what a crash can have left is
 * cut: near the end, in a file that is known for a store, and never what was stored. A store of
 * the first version does not know what was: nothing is cut there if a bet follows.
 */
export const tornBytes = Effect.fnUntraced(function* (
  store: string,
  disk: Disk,
  { file, length: rowsEnd }: CsvFile,
  state: FoundState | undefined,
  size: number,
  tailLimitBytes: number
) {
  const torn = size - rowsEnd
  if (torn === 0) return 0
  const rest = yield* readBytes(disk, file, rowsEnd, Math.min(torn, tailLimitBytes))
  const against = reasonAgainstCut(state, rowsEnd, rest)
  if (against !== undefined) return yield* new StoreOpenError({ store, reason: against })
  // What was not synced may begin in the middle of a row.
  if (torn > tailLimitBytes + MAX_ROW_BYTES) {
    const reason =
      `damaged at byte ${rowsEnd}: what stands there is not a bet, ` +
      "and too far from the end for a write that was cut short"
    return yield* new StoreOpenError({ store, reason })
  }
  return torn
})

/**
 * Whether the bytes behind the rows of a file that has no state are more than the row that is just
 * being written: a whole line, or too long for one.
 */
export const isDamaged = Effect.fnUntraced(function* (
  disk: Disk,
  { file, length: rowsEnd }: CsvFile,
  size: number
) {
  const rest = size - rowsEnd
  if (rest > MAX_ROW_BYTES) return true
  return (yield* readBytes(disk, file, rowsEnd, rest)).includes(LF)
})

/**
 * Gives the books that are whole, each of which must be there as it was when its agency finished.
 * Of a store of the first version only their bets are counted: it knows no SHA-256.
 */
export const checkBooks = Effect.fnUntraced(function* (
  store: string,
  { index, length }: CsvFile,
  hashes: CsvBookHashes,
  state: FoundState | undefined
) {
  const books = new Map<Agency, FinishedBook>()
  for (const [agency, { bets, sha256: finished }] of state?.finished ?? []) {
    const held = index.bets(agency)
    const sha256 = hashes.digest(agency)
    books.set(agency, { bets, sha256 })
    if (held === bets && (finished ?? sha256) === sha256) continue
    const reason =
      held === bets
        ? `damaged: the ${bets} bets of agency ${agency} are not those that it finished with ` +
          RESTORE
        : `damaged at byte ${length}: agency ${agency} has finished with ${bets} bets, ` +
          `but ${held} are there ${RESTORE}`
    return yield* new StoreOpenError({ store, reason })
  }
  return books
})

/**
 * Saves what is about to be cut as `bets.csv.cut-OFFSET` if it is more than one unfinished row, for
 * an operator to look at. Returns that file's name.
 */
export const keepTail = Effect.fnUntraced(function* (
  disk: Disk,
  path: string,
  { file, length }: CsvFile,
  size: number
) {
  const bytes = yield* readBytes(disk, file, length, size - length)
  if (!bytes.includes(LF)) return undefined
  const kept = `${path}.cut-${length}`
  yield* replaceFile(disk, kept, bytes, file)
  return kept
})
