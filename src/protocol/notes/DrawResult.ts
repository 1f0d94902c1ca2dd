/** The signed result of a draw: the number, and how many winners each book has. */
import { Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { Hash } from "../../domain/seal/MerkleTree.ts"
import type { Beacon } from "../../domain/seal/Quicknet.ts"
import {
  AGENCY,
  atLine,
  DRAW,
  hex,
  int,
  line,
  linesOf,
  NUMBER,
  parseLine,
  ROUND
} from "../../domain/seal/TextFields.ts"
import { toBase64 } from "./Base64.ts"
import { hashField } from "./Checkpoint.ts"
import { openOperators, type SealKey, sign, type VerifierKey } from "./SignedNote.ts"

export interface DrawResult {
  readonly draw: string
  readonly number: number
  /** The root of the seal. */
  readonly root: Hash
  /** The round, with `drand` only. */
  readonly beacon: Beacon | undefined
  /** Winners of each book of the seal, in ascending order; on the wire only of the agency's own. */
  readonly winners: ReadonlyArray<{ readonly agency: Agency; readonly count: number }>
}

const VERSION = "lottery-result/v1"

const firstLine = line(VERSION, [DRAW, NUMBER])
const sealLine = line("seal", [hashField("ROOT")])
const beaconLine = line("beacon", [ROUND, hex("SIGNATURE", 96)])
const parseBeacon = (text: string): Result.Result<Beacon, string> =>
  Result.map(beaconLine(text), ([round, signature]) => ({ round, signature }))
const winnersLine = line("winners", [AGENCY, int("COUNT")])

const show = ({ beacon, draw, number, root, winners }: DrawResult): string =>
  [
    `${VERSION} ${draw} ${number}\n`,
    `seal ${toBase64(root)}\n`,
    ...(beacon === undefined ? [] : [`beacon ${beacon.round} ${beacon.signature}\n`]),
    ...winners.map(({ agency, count }) => `winners ${agency} ${count}\n`)
  ].join("")

export const signResult = (result: DrawResult, key: SealKey): string => sign(show(result), key)

const parse = (text: string): Result.Result<DrawResult, string> =>
  Result.gen(function* () {
    const lines = yield* linesOf(text)
    const [draw, number] = yield* parseLine(lines, 1, firstLine)
    const [root] = yield* parseLine(lines, 2, sealLine)
    const hasBeacon = lines[2]?.startsWith("beacon ") ?? false
    const beacon = hasBeacon ? yield* parseLine(lines, 3, parseBeacon) : undefined
    const winners: Array<DrawResult["winners"][number]> = []
    for (let number = hasBeacon ? 4 : 3; number <= lines.length; number++) {
      const [agency, count] = yield* parseLine(lines, number, winnersLine)
      const before = winners.at(-1)?.agency ?? 0
      if (agency <= before) {
        const problem = `expected an agency after ${before}, got ${agency}`
        return yield* Result.fail(atLine(number, problem))
      }
      winners.push({ agency, count })
    }
    return { draw, number, root, beacon, winners }
  })

export const openResult = (
  note: string,
  operator: VerifierKey
): Result.Result<DrawResult, string> =>
  Result.flatMap(openOperators(note, operator), ({ text }) => parse(text))
