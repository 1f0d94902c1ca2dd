/** The receipt that an agency gets when its book is finished. */
import { Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { NumberSource } from "../../domain/Draw.ts"
import { parseRule, showRule } from "../../domain/seal/NumberRule.ts"
import {
  AGENCY,
  BETS,
  DRAW,
  type Field,
  line,
  linesOf,
  SHA256
} from "../../domain/seal/TextFields.ts"
import { openOperators, type SealKey, sign, type VerifierKey } from "./SignedNote.ts"

export interface Receipt {
  readonly draw: string
  readonly agency: Agency
  readonly bets: number
  readonly sha256: string
  /** The promised rule. */
  readonly source: NumberSource
}

const VERSION = "lottery-receipt/v1"
const RULE: Field<NumberSource> = { name: "RULE", parse: parseRule }
const receiptLine = line(VERSION, [DRAW, AGENCY, BETS, SHA256, RULE])

export const signReceipt = (
  { agency, bets, draw, sha256, source }: Receipt,
  key: SealKey
): string => sign(`${VERSION} ${draw} ${agency} ${bets} ${sha256} ${showRule(source)}\n`, key)

export const openReceipt = (note: string, operator: VerifierKey): Result.Result<Receipt, string> =>
  Result.gen(function* () {
    const { text } = yield* openOperators(note, operator)
    const [first = "", ...others] = yield* linesOf(text)
    if (others.length > 0)
      return yield* Result.fail(`expected a receipt of one line, got ${others.length + 1}`)
    const [draw, agency, bets, sha256, source] = yield* receiptLine(first)
    return { draw, agency, bets, sha256, source }
  })
