/** Checks that the seal keeps what the receipts promise (docs/sealed-draw.md, step 3). */
import { Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { nameAgencies } from "../../domain/Draw.ts"
import { sealedSource, showRule, showSource } from "../../domain/seal/NumberRule.ts"
import { isBook, type Seal } from "../../domain/seal/Seal.ts"
import { openReceipt, type Receipt } from "../../protocol/notes/Receipt.ts"
import type { OpenedSeal } from "../../protocol/notes/SealFile.ts"
import { counted } from "../log/ProgressText.ts"
import { type Check, forged, note, notProven, proven, wrong } from "./Check.ts"
import { decode, type Given, type TextFile } from "./Given.ts"

interface NamedReceipt {
  readonly name: string
  readonly receipt: Receipt
}

const ABOUT = "receipt"

const open = (given: Given, seal: Seal, file: TextFile): Result.Result<NamedReceipt, Check> =>
  decode(file, "receipt", (text) => openReceipt(text, given.operator)).pipe(
    Result.filterOrFail(
      ({ draw }) => draw === seal.draw,
      ({ draw }) => `is a receipt of draw ${draw}, expected ${seal.draw}`
    ),
    Result.mapBoth({
      onSuccess: (receipt) => ({ name: file.name, receipt }),
      onFailure: (reason) => wrong(ABOUT, `${file.name}: ${reason}`)
    })
  )

const ruleCheck = (seal: Seal, { name, receipt }: NamedReceipt): ReadonlyArray<Check> => {
  const due = showSource(sealedSource(receipt.source, seal.sealedAt))
  const sealed = showSource(seal.source)
  if (due === sealed) return []
  const promise = `${name} promises the number from ${showRule(receipt.source)}`
  const { agency } = receipt
  return [forged(ABOUT, `${promise}, thus ${due}; the seal takes it from ${sealed}`, { agency })]
}

const show = ({ bets, sha256 }: Pick<Receipt, "bets" | "sha256">): string =>
  `${counted(bets, "bet")}, SHA-256 ${sha256}`

/** One of the agency's receipts has to be of the sealed book. */
const bookChecks = (
  seal: Seal,
  agency: Agency,
  receipts: ReadonlyArray<NamedReceipt>
): ReadonlyArray<Check> => {
  const entry = seal.agencies.find((one) => one.agency === agency)
  const names = receipts.map(({ name }) => name).join(", ")
  const signed = `the operator signed ${names} for a finished book of agency ${agency}`
  if (entry === undefined) {
    return [forged(ABOUT, `${signed}; the seal leaves this agency out`, { agency })]
  }
  if (!isBook(entry)) {
    return [forged(ABOUT, `${signed}; the seal says that it is excluded`, { agency })]
  }
  const isSealed = ({ receipt }: NamedReceipt) =>
    receipt.bets === entry.bets && receipt.sha256 === entry.sha256
  if (!receipts.some(isSealed)) {
    const promised = receipts.map(({ receipt }) => show(receipt)).join("; ")
    const text = `${signed}: ${promised}; the seal has another: ${show(entry)}`
    return [forged(ABOUT, text, { agency })]
  }
  return receipts.map((one) =>
    isSealed(one)
      ? proven(
          ABOUT,
          `${one.name}: the book of agency ${agency} is in the seal as it was received`,
          {
            agency
          }
        )
      : note(ABOUT, `${one.name} is of a discarded book of agency ${agency}`, { agency })
  )
}

export const checkReceipts = (given: Given, { seal }: OpenedSeal): ReadonlyArray<Check> => {
  const opened = given.receipts.map((file) => open(given, seal, file))
  const receipts = opened.filter(Result.isSuccess).map(({ success }) => success)
  const byAgency = Map.groupBy(receipts, ({ receipt }) => receipt.agency)
  const books = seal.agencies.filter(isBook).map(({ agency }) => agency)
  const missing = books.filter((agency) => !byAgency.has(agency))
  const sent = `that the seal has what ${nameAgencies(missing)} sent (no receipt given)`
  return [
    ...opened.filter(Result.isFailure).map(({ failure }) => failure),
    ...receipts.flatMap((one) => ruleCheck(seal, one)),
    ...[...byAgency].flatMap(([agency, own]) => bookChecks(seal, agency, own)),
    ...(missing.length === 0 ? [] : [notProven(ABOUT, sent)])
  ]
}
