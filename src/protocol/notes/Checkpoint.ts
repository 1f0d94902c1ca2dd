/** The checkpoint of a seal (c2sp.org/tlog-checkpoint): three lines that the operator signs. */
import { Result } from "effect"
import type { Hash } from "../../domain/seal/MerkleTree.ts"
import {
  expectedBut,
  type Field,
  int,
  linesOf,
  parseField,
  parseLine
} from "../../domain/seal/TextFields.ts"
import { fromBase64, toBase64 } from "./Base64.ts"

export interface Checkpoint {
  /** `NAME/DRAW`. */
  readonly origin: string
  readonly size: number
  readonly root: Hash
}

const HASH_BYTES = 32
const LINES = 3

/** A hash in base64. */
export const hashField = (name: string): Field<Hash> => ({
  name,
  parse: (text) => {
    const bytes = fromBase64(text)
    return bytes?.length === HASH_BYTES
      ? Result.succeed(bytes)
      : expectedBut("the base64 of 32 bytes", text)
  }
})

const ORIGIN: Field<string> = {
  name: "ORIGIN",
  parse: (text) => (text === "" ? expectedBut("NAME/DRAW", text) : Result.succeed(text))
}
const SIZE = int("SIZE")
const ROOT = hashField("ROOT")

/** The origin of a draw's checkpoint. */
export const originOf = (keyName: string, draw: string): string => `${keyName}/${draw}`

/** The text of the note. */
export const showCheckpoint = ({ origin, root, size }: Checkpoint): string =>
  `${origin}\n${size}\n${toBase64(root)}\n`

export const parseCheckpoint = (text: string): Result.Result<Checkpoint, string> =>
  Result.gen(function* () {
    const lines = yield* linesOf(text)
    if (lines.length !== LINES) {
      return yield* Result.fail(`expected a checkpoint of ${LINES} lines, got ${lines.length}`)
    }
    const at = <T>(number: number, field: Field<T>) =>
      parseLine(lines, number, (line) => parseField(field, line))
    return { origin: yield* at(1, ORIGIN), size: yield* at(2, SIZE), root: yield* at(3, ROOT) }
  })
