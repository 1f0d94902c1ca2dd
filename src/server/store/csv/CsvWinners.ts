/**
 * The winners of a CSV store: finds them in `bets.csv` and records them in `bets.csv.winners.csv`,
 * whose rows have the same form.
 */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { type BetBatch, BetBatchBuilder } from "../../../domain/BetBatch.ts"
import { type Disk, readFile, replaceFile } from "../embedded/Disk.ts"
import { type CsvFile, rowIsGone, SCAN_BYTES, scanRows, unusable } from "./CsvFile.ts"
import { CsvRowReader, sizeOf, WinnerReader, writeRows } from "./CsvRow.ts"

type AgencyWinners = ReadonlyMap<Agency, BetBatch>

const winnersPath = (path: string): string => `${path}.winners.csv`

/** Collects rows by agency. */
class WinningRows {
  private readonly builders = new Map<Agency, BetBatchBuilder>()

  add(row: CsvRowReader): void {
    const builder = this.builders.get(row.agency) ?? new BetBatchBuilder(512)
    this.builders.set(row.agency, builder)
    row.addTo(builder)
  }

  build(): AgencyWinners {
    const ascending = [...this.builders].sort(([one], [other]) => one - other)
    return new Map(ascending.map(([agency, builder]) => [agency, builder.build()]))
  }
}

/** Finds every winning bet, in one pass over the file, except those of excluded agencies. */
export const scanWinners = Effect.fnUntraced(function* (
  csv: CsvFile,
  winningNumber: number,
  excluded: ReadonlySet<Agency>
) {
  const { index, length } = csv
  const winners = new WinningRows()
  let rows = 0
  const reader = new WinnerReader(winningNumber)
  const end = yield* scanRows(csv, [0, length], SCAN_BYTES, reader, () => {
    rows++
    if (reader.hasWon && !excluded.has(reader.agency)) winners.add(reader)
    return true
  })
  // A draw without some of the bets would be worse than no draw.
  if (end !== length) return yield* rowIsGone(end)
  // Without the line ending between them, two rows can look like one row with another number.
  if (rows !== index.totalBets) {
    return yield* unusable(`damaged: it has ${rows} rows, expected ${index.totalBets}`)
  }
  return winners.build()
})

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/**
 * Durably records the winners of the `bets.csv` at `path`, with its permissions. Returns the
 * SHA-256 of the file.
 */
export const writeWinners = Effect.fnUntraced(function* (
  { disk, file }: CsvFile,
  path: string,
  winners: AgencyWinners
) {
  const books = Array.from(winners, ([agency, { byteLength: size, count, runs }]) => ({
    agency,
    runs,
    size,
    count
  }))
  const bytes = new Uint8Array(books.reduce((sum, rows) => sum + sizeOf(rows), 0))
  let end = 0
  for (const rows of books) {
    writeRows(rows, bytes, end)
    end += sizeOf(rows)
  }
  yield* replaceFile(disk, winnersPath(path), bytes, file)
  return sha256Of(bytes)
})

/**
 * Reads the recorded winners, which must be the ones of the draw; undefined if none are recorded or
 * there is no file.
 */
export const readWinners = Effect.fnUntraced(function* (
  disk: Disk,
  path: string,
  sha256: string | undefined
) {
  if (sha256 === undefined) return undefined
  const file = winnersPath(path)
  const bytes = yield* readFile(disk, file)
  if (bytes === undefined) return undefined
  if (sha256Of(bytes) !== sha256) {
    const cure = "(remove it: the winners are then found in the bets)"
    return yield* unusable(`its winners file ${file} is not the one of its draw ${cure}`)
  }
  const winners = new WinningRows()
  const row = new CsvRowReader()
  for (let at = 0; at < bytes.length && row.read(bytes, at, bytes.length); at = row.end) {
    winners.add(row)
  }
  return winners.build()
})
