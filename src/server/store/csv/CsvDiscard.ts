/**
 * Takes an agency's rows out of `bets.csv`: the rows of all others are written to a new file,
 * which then takes the place of the old one in one step. A crash leaves the old file or the new
 * one, and at most a temporary file. The old file stays open while it is being read.
 */
import { Effect, Exit, Scope } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { type Descriptor, readBytes, replaceWith, writeAll } from "../embedded/Disk.ts"
import { type CsvFile, rowIsGone, SCAN_BYTES, unread, unusable } from "./CsvFile.ts"
import type { CsvIndex } from "./CsvIndex.ts"
import { CsvRowReader } from "./CsvRow.ts"

/** Moves the rows that stay to the front of `bytes`. */
const keepOthers = (bytes: Uint8Array, agency: Agency, index: CsvIndex, offset: number) => {
  const reader = new CsvRowReader()
  let read = 0
  let kept = 0
  while (reader.read(bytes, read, bytes.length)) {
    if (reader.agency !== agency) {
      index.add(reader.agency, offset + kept, 1, reader.end - read)
      bytes.copyWithin(kept, read, reader.end)
      kept += reader.end - read
    }
    read = reader.end
  }
  return { read, kept }
}

/** How long the file is without an agency's rows. */
export const lengthWithout = ({ index, length }: CsvFile, agency: Agency): number =>
  length - (index.get(agency)?.bytes ?? 0)

/** Copies the durable rows of all other agencies to `file`, which is new. */
const copyOthers = Effect.fnUntraced(function* (csv: CsvFile, agency: Agency, file: Descriptor) {
  const { disk } = csv
  const copy = unread(disk, file)
  for (let from = 0; from < csv.length; ) {
    const wanted = Math.min(SCAN_BYTES, csv.length - from)
    const bytes = yield* readBytes(disk, csv.file, from, wanted)
    const { kept, read } = keepOthers(bytes, agency, copy.index, copy.length)
    // A piece is longer than any row, so that it begins with one unless the file is damaged.
    if (read === 0) return yield* rowIsGone(from)
    yield* writeAll(disk, file, bytes.subarray(0, kept), copy.length)
    copy.length += kept
    from += read
  }
  // The state says by now how much must be there.
  if (copy.length === lengthWithout(csv, agency)) return copy
  return yield* unusable(`damaged: the bets of agency ${agency} are not where they were`)
})

/** A file that is closed after its last use, or with the store. */
export interface SharedFile extends CsvFile {
  readonly scope: Scope.Closeable
  /** The store itself, and its readers. */
  users: number
}

export const giveUp = (file: SharedFile): Effect.Effect<void> =>
  Effect.suspend(() => {
    file.users -= 1
    return file.users === 0 ? Scope.close(file.scope, Exit.void) : Effect.void
  })

/** The file that is the store's now, kept open until the scope closes. */
export const share = (store: { readonly csv: SharedFile }) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      store.csv.users += 1
      return store.csv
    }),
    giveUp
  )

/**
 * Puts a file without the agency's rows in the place of the one at `path`, durably, and gives it;
 * it is open until `scope` closes at the latest. After any failure except one of a sync the old one
 * is untouched.
 */
export const rewriteWithout = Effect.fnUntraced(function* (
  csv: CsvFile,
  path: string,
  agency: Agency,
  scope: Scope.Scope
) {
  const fileScope = yield* Scope.fork(scope)
  const rewritten = yield* replaceWith(csv.disk, path, csv.file, (file) =>
    copyOthers(csv, agency, file)
  ).pipe(
    Scope.provide(fileScope),
    Effect.onError((cause) => Scope.close(fileScope, Exit.failCause(cause)))
  )
  return { ...rewritten, scope: fileScope, users: 1 } satisfies SharedFile
})
