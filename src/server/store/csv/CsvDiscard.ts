/**
 * Removes an agency's rows from `bets.csv` by atomically replacing it with a file of the other
 * rows. A crash leaves the old file or the new one, and at most a temporary file.
 */
import { Effect, Exit, Scope } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { type Descriptor, readBytes, replaceWith, writeAll } from "../embedded/Disk.ts"
import { type CsvFile, rowIsGone, SCAN_BYTES, unread, unusable } from "./CsvFile.ts"
import type { CsvIndex } from "./CsvIndex.ts"
import { CsvRowReader } from "./CsvRow.ts"

/** Moves the rows of other agencies to the front of `bytes`. */
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

/** The length of the file without an agency's rows. */
export const lengthWithout = ({ index, length }: CsvFile, agency: Agency): number =>
  length - (index.get(agency)?.bytes ?? 0)

/** Copies the durable rows of all other agencies to a new `file`. */
const copyOthers = Effect.fnUntraced(function* (csv: CsvFile, agency: Agency, file: Descriptor) {
  const { disk } = csv
  const copy = unread(disk, file)
  for (let from = 0; from < csv.length; ) {
    const wanted = Math.min(SCAN_BYTES, csv.length - from)
    const bytes = yield* readBytes(disk, csv.file, from, wanted)
    const { kept, read } = keepOthers(bytes, agency, copy.index, copy.length)
    // A piece is longer than any row, so it begins with a whole one unless the file is damaged.
    if (read === 0) return yield* rowIsGone(from)
    yield* writeAll(disk, file, bytes.subarray(0, kept), copy.length)
    copy.length += kept
    from += read
  }
  // The state already records this length.
  if (copy.length === lengthWithout(csv, agency)) return copy
  const reason = `damaged: the bets of agency ${agency} were changed after the file was opened`
  return yield* unusable(reason)
})

/** A file that stays open for its readers after it is replaced, but not longer than the store. */
export interface SharedFile extends CsvFile {
  readonly scope: Scope.Closeable
  /** The store itself and its readers. */
  users: number
}

export const release = (file: SharedFile): Effect.Effect<void> =>
  Effect.suspend(() => {
    file.users -= 1
    return file.users === 0 ? Scope.close(file.scope, Exit.void) : Effect.void
  })

/** Returns the store's current file, kept open until the scope closes. */
export const share = (store: { readonly csv: SharedFile }) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      store.csv.users += 1
      return store.csv
    }),
    release
  )

/**
 * Durably replaces the file at `path` with one without the agency's rows, which `scope` closes at
 * the latest. Any failure except a failed sync leaves the old file untouched.
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
