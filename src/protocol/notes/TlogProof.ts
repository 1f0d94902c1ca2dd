/** The proof that an entry is in a seal (c2sp.org/tlog-proof@v1). */
import { Result } from "effect"
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import {
  type Hash,
  leafHash,
  type MerkleTree,
  rootFromProof
} from "../../domain/seal/MerkleTree.ts"
import { expectedBut, int, line, parseLine } from "../../domain/seal/TextFields.ts"
import { fromBase64, toBase64 } from "./Base64.ts"
import { type Checkpoint, hashField, originOf, parseCheckpoint } from "./Checkpoint.ts"
import { type OpenedNote, openOperators, type VerifierKey } from "./SignedNote.ts"

export interface TlogProof {
  /** The entry with its LF. */
  readonly entry: string | undefined
  readonly index: number
  readonly hashes: ReadonlyArray<Hash>
  readonly note: string
}

const VERSION = "c2sp.org/tlog-proof@v1"
const EXTRA = "extra "

export const showProof = ({ entry, hashes, index, note }: TlogProof): string => {
  const extra = entry === undefined ? [] : [`${EXTRA}${toBase64(Buffer.from(entry))}`]
  return [VERSION, ...extra, `index ${index}`, ...hashes.map(toBase64), "", note].join("\n")
}

const parseExtra = (text: string): Result.Result<string, string> => {
  const bytes = fromBase64(text.slice(EXTRA.length))
  const entry = bytes && decodeUtf8(bytes)
  return entry === undefined
    ? expectedBut("extra and UTF-8 in base64", text)
    : Result.succeed(entry)
}

const { parse: parseHash } = hashField("hash")

const parseVersion = line(VERSION, [])
const parseIndex = line("index", [int("INDEX")])

export const parseProof = (text: string): Result.Result<TlogProof, string> =>
  Result.gen(function* () {
    const end = text.indexOf("\n\n")
    if (end === -1) return yield* Result.fail("expected an empty line before the note")
    const lines = text.slice(0, end).split("\n")
    yield* parseLine(lines, 1, parseVersion)
    const hasExtra = lines[1]?.startsWith(EXTRA) ?? false
    const entry = hasExtra ? yield* parseLine(lines, 2, parseExtra) : undefined
    const indexLine = hasExtra ? 3 : 2
    const [index] = yield* parseLine(lines, indexLine, parseIndex)
    const hashes: Array<Hash> = []
    for (let number = indexLine + 1; number <= lines.length; number++) {
      hashes.push(yield* parseLine(lines, number, parseHash))
    }
    return { entry, index, hashes, note: text.slice(end + 2) }
  })

/** The proof of entry `index` of a tree whose checkpoint is signed by `note`. */
export const proveEntry = ({
  entry,
  index,
  note,
  tree
}: {
  readonly tree: MerkleTree
  readonly index: number
  readonly entry: string
  readonly note: string
}): string => showProof({ entry, index, hashes: tree.proofOf(index), note })

/**
 * Decodes a proof of the operator's seal of a draw, and checks that its entry leads to the root.
 */
export const openProof = (
  text: string,
  draw: string,
  operator: VerifierKey,
  witnesses: ReadonlyArray<VerifierKey> = []
): Result.Result<
  {
    readonly entry: string
    readonly index: number
    readonly checkpoint: Checkpoint
    readonly note: OpenedNote
  },
  string
> =>
  Result.gen(function* () {
    const { entry, hashes, index, note: noteText } = yield* parseProof(text)
    const note = yield* openOperators(noteText, operator, witnesses)
    const checkpoint = yield* Result.mapError(
      parseCheckpoint(note.text),
      (problem) => `checkpoint: ${problem}`
    )
    const origin = originOf(operator.name, draw)
    if (checkpoint.origin !== origin) {
      return yield* Result.fail(`checkpoint: ORIGIN: expected ${origin}, got ${checkpoint.origin}`)
    }
    if (entry === undefined) return yield* Result.fail("expected the entry in extra")
    const { size } = checkpoint
    const root = rootFromProof({ leaf: leafHash(entry), index, size, hashes })
    if (root === undefined) {
      const got = `got ${hashes.length}`
      return yield* Result.fail(`expected the hashes for entry ${index} of ${size}, ${got}`)
    }
    if (toBase64(root) !== toBase64(checkpoint.root)) {
      const expected = `expected the root ${toBase64(checkpoint.root)}`
      return yield* Result.fail(`${expected}, the proof leads to ${toBase64(root)}`)
    }
    return { entry, index, checkpoint, note }
  })
