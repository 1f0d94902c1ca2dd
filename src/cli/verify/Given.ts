/** The files that `lottery verify` is given. */
import { Effect, FileSystem, Path, Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import type { VerifierKey } from "../../protocol/notes/SignedNote.ts"
import { type FileKind, mismatch } from "./FileKind.ts"

export interface TextFile {
  readonly name: string
  /** Fails if the file is not UTF-8. */
  readonly text: Result.Result<string, string>
}

/** An agency's book in a file. */
export interface AgencyFile {
  readonly agency: Agency
  readonly file: string
}

/** Files that come as often as wanted, by what they are. */
interface Evidence<File> {
  readonly receipts: ReadonlyArray<File>
  readonly proofs: ReadonlyArray<File>
  readonly results: ReadonlyArray<File>
}

/** The names on the command line. */
export interface Named extends Evidence<string> {
  readonly operator: VerifierKey
  readonly witnesses: ReadonlyArray<VerifierKey>
  readonly seal: string
  readonly otherSeals: ReadonlyArray<string>
  readonly beacons: ReadonlyArray<string>
  readonly books: ReadonlyArray<AgencyFile>
  /** Agencies' own books, as a client reads them. */
  readonly own: ReadonlyArray<AgencyFile>
  /** Folders in which clients kept receipts, proofs and results. */
  readonly evidence: ReadonlyArray<string>
}

export interface Given extends Omit<Named, "seal" | "otherSeals" | "beacons" | keyof Evidence<0>> {
  readonly seal: TextFile
  readonly otherSeals: ReadonlyArray<TextFile>
  readonly beacons: ReadonlyArray<TextFile>
  readonly receipts: ReadonlyArray<TextFile>
  readonly proofs: ReadonlyArray<TextFile>
  readonly results: ReadonlyArray<TextFile>
}

/** The files of a client's `--evidence`; a number follows the agency's if there are several. */
const KINDS: Readonly<Record<keyof Evidence<string>, RegExp>> = {
  receipts: /^agency-\d+(-\d+)?\.receipt$/,
  proofs: /^agency-\d+(-\d+)?\.(seal-head|book)\.tlog-proof$/,
  results: /^agency-\d+(-\d+)?\.result$/
}

/** A seal of a thousand books of a million bets each is smaller. It is read into memory. */
const MAX_TEXT_BYTES = 256 * 1024 * 1024

const readOne = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  const { size } = yield* Effect.mapError(fs.stat(name), fileUnavailable(name))
  if (size > MAX_TEXT_BYTES) {
    const reason = `has ${size} bytes, expected at most ${MAX_TEXT_BYTES}; is it a book?`
    return yield* new FileUnavailable({ file: name, reason })
  }
  const bytes = yield* Effect.mapError(fs.readFile(name), fileUnavailable(name))
  const text = Result.fromNullishOr(decodeUtf8(bytes), () => "is not text in UTF-8")
  return { name, text } satisfies TextFile
})

const readAll = (names: ReadonlyArray<string>) => Effect.forEach(names, readOne)

const listFolder = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* Effect.mapError(fs.readDirectory(folder), fileUnavailable(folder))
  const sorted = names.toSorted((one, other) => one.localeCompare(other, "en", { numeric: true }))
  const of = (kind: keyof Evidence<string>) =>
    sorted.filter((name) => KINDS[kind].test(name)).map((name) => path.join(folder, name))
  const found = { receipts: of("receipts"), proofs: of("proofs"), results: of("results") }
  if (Object.values(found).some((files) => files.length > 0)) return found
  const reason = "has no evidence such as agency-1.receipt"
  return yield* new FileUnavailable({ file: folder, reason })
})

/** Books are read more than once, which a pipe cannot be. */
const ensureFile = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  const { type } = yield* Effect.mapError(fs.stat(name), fileUnavailable(name))
  if (type === "File") return
  const reason =
    type === "Directory"
      ? "is a folder, expected a file"
      : "cannot be read twice; save it as a file first"
  return yield* new FileUnavailable({ file: name, reason })
})

/** Reads everything except the books, of which it only checks that they are files. */
export const read = Effect.fn("Given.read")(function* (named: Named) {
  const folders = yield* Effect.forEach(named.evidence, listFolder)
  for (const { file } of [...named.books, ...named.own]) yield* ensureFile(file)
  const all = (kind: keyof Evidence<string>) =>
    readAll([...named[kind], ...folders.flatMap((folder) => folder[kind])])
  return {
    ...named,
    seal: yield* readOne(named.seal),
    otherSeals: yield* readAll(named.otherSeals),
    beacons: yield* readAll(named.beacons),
    receipts: yield* all("receipts"),
    proofs: yield* all("proofs"),
    results: yield* all("results")
  } satisfies Given
})

/** Decodes a file of this kind; another one is recognised. */
export const decode = <A>(
  { text }: TextFile,
  kind: FileKind,
  open: (text: string) => Result.Result<A, string>
): Result.Result<A, string> =>
  Result.flatMap(text, (content) =>
    Result.mapError(open(content), (problem) => mismatch(content, kind) ?? problem)
  )
