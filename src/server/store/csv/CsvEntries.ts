/** The entries of the seal, in `bets.csv.entries`. The state has the SHA-256 of the file. */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import { type Disk, readFile, replaceFile } from "../embedded/Disk.ts"
import { type CsvFile, unusable } from "./CsvFile.ts"

const utf8 = new TextEncoder()
const text = new TextDecoder()

const entriesPath = (path: string): string => `${path}.entries`

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Durably writes the entries for the `bets.csv` at `path`. Returns the SHA-256 of the file. */
export const writeEntries = Effect.fnUntraced(function* (
  { disk, file }: CsvFile,
  path: string,
  entries: string
) {
  const bytes = utf8.encode(entries)
  yield* replaceFile(disk, entriesPath(path), bytes, file)
  return sha256Of(bytes)
})

/** Reads the entries, which must be the recorded ones; undefined if none are recorded. */
export const readEntries = Effect.fnUntraced(function* (
  disk: Disk,
  path: string,
  sha256: string | undefined
) {
  if (sha256 === undefined) return undefined
  const file = entriesPath(path)
  const bytes = yield* readFile(disk, file)
  if (bytes !== undefined && sha256Of(bytes) === sha256) return text.decode(bytes)
  const problem = bytes === undefined ? "is missing" : "is not the one of its draw"
  return yield* unusable(
    `damaged: its entries file ${file} ${problem} ` +
      "(restore it, the store and its state file from the same backup)"
  )
})
