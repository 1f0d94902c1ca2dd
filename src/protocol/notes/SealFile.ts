/** The file `DRAW.seal`: the entries, an empty line, the note of the checkpoint. */
import { Result } from "effect"
import { type Hash, leafHash, MerkleTree } from "../../domain/seal/MerkleTree.ts"
import { timeOfRound } from "../../domain/seal/Quicknet.ts"
import { parseEntries, type Seal } from "../../domain/seal/Seal.ts"
import { atLine } from "../../domain/seal/TextFields.ts"
import { toBase64 } from "./Base64.ts"
import { type Checkpoint, originOf, parseCheckpoint, showCheckpoint } from "./Checkpoint.ts"
import {
  type OpenedNote,
  openOperators,
  type SealKey,
  sign,
  type VerifierKey
} from "./SignedNote.ts"

/** The hashes of the entries, one by one: there can be half a million. */
function* leavesOf(entries: string): Generator<Hash> {
  for (let start = 0; start < entries.length; ) {
    const end = entries.indexOf("\n", start) + 1 || entries.length
    yield leafHash(entries.slice(start, end))
    start = end
  }
}

/** Makes the tree of the concatenated entries. */
export const treeOf = (entries: string): MerkleTree => new MerkleTree(leavesOf(entries))

/** The note of the checkpoint over these entries. */
export const signSeal = (
  { draw, tree: { root, size } }: { readonly draw: string; readonly tree: MerkleTree },
  key: SealKey
): string => sign(showCheckpoint({ origin: originOf(key.verifier.name, draw), size, root }), key)

export const showSealFile = ({
  entries,
  note
}: {
  readonly entries: string
  readonly note: string
}): string => `${entries}\n${note}`

export const splitSealFile = (
  file: string
): Result.Result<{ readonly entries: string; readonly note: string }, string> => {
  const end = file.indexOf("\n\n")
  return end < 1 || file.startsWith("\n")
    ? Result.fail("expected the entries, an empty line and a note")
    : Result.succeed({ entries: file.slice(0, end + 1), note: file.slice(end + 2) })
}

export interface OpenedSeal {
  readonly seal: Seal
  readonly tree: MerkleTree
  readonly checkpoint: Checkpoint
  readonly note: OpenedNote
}

const problemOfTree = (tree: MerkleTree, { root, size }: Checkpoint): string | undefined => {
  if (tree.size !== size) return `expected the ${size} entries that were signed, got ${tree.size}`
  const [expected, got] = [toBase64(root), toBase64(tree.root)]
  return expected === got
    ? undefined
    : `expected the entries that were signed, with root ${expected}, got others with root ${got}`
}

const problemOfTime = ({ sealedAt, source }: Seal): string | undefined => {
  if (source._tag !== "drand" || sealedAt < timeOfRound(source.round)) return undefined
  const time = timeOfRound(source.round)
  const expected = `expected before ${time}, the time of round ${source.round}`
  return atLine(1, `SEALED-AT: ${expected}, got ${sealedAt}`)
}

/**
 * Checks everything that the file alone shows: the note, the checkpoint, the tree, the entries, and
 * that SEALED-AT is before the round.
 */
export const openSealFile = (
  file: string,
  operator: VerifierKey,
  witnesses: ReadonlyArray<VerifierKey> = []
): Result.Result<OpenedSeal, string> =>
  Result.gen(function* () {
    const parts = yield* splitSealFile(file)
    const note = yield* openOperators(parts.note, operator, witnesses)
    const checkpoint = yield* Result.mapError(
      parseCheckpoint(note.text),
      (problem) => `checkpoint: ${problem}`
    )
    const tree = treeOf(parts.entries)
    const entries = parseEntries(parts.entries)
    const problem = problemOfTree(tree, checkpoint)
    if (problem !== undefined) {
      const detail = Result.isFailure(entries) ? ` (${entries.failure})` : ""
      return yield* Result.fail(`${problem}${detail}`)
    }
    const seal = yield* entries
    const origin = originOf(operator.name, seal.draw)
    if (checkpoint.origin !== origin) {
      return yield* Result.fail(`checkpoint: ORIGIN: expected ${origin}, got ${checkpoint.origin}`)
    }
    const late = problemOfTime(seal)
    if (late !== undefined) return yield* Result.fail(late)
    return { seal, tree, checkpoint, note }
  })
