/**
 * What an agency checks in a sealed draw (docs/wire.md, "The sealed draw"): its receipt, the proofs
 * of the seal, and the signed result. Every function is pure; a failure says what is wrong.
 */
import { Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { DrawId } from "../../domain/Draw.ts"
import {
  type SealedSource,
  sealedSource,
  showRule,
  showSource
} from "../../domain/seal/NumberRule.ts"
import { randomnessOf, timeOfRound, winningNumberOf } from "../../domain/seal/Quicknet.ts"
import { parseBookEntry, parseFirstEntry } from "../../domain/seal/Seal.ts"
import { toBase64 } from "../../protocol/notes/Base64.ts"
import { type DrawResult, openResult } from "../../protocol/notes/DrawResult.ts"
import { openReceipt, type Receipt } from "../../protocol/notes/Receipt.ts"
import type { VerifierKey } from "../../protocol/notes/SignedNote.ts"
import { openProof } from "../../protocol/notes/TlogProof.ts"

/** Whose evidence it is, and which key signed it. */
export interface EvidenceOwner {
  readonly agency: Agency
  readonly draw: DrawId
  readonly operator: VerifierKey
}

/** The agency's own side of a draw. */
export interface Participant extends EvidenceOwner {
  readonly book: { readonly total: number; readonly bytes: number; readonly sha256: string }
}

/** The proofs of the seal's first entry and of the agency's book. */
export type SealProofs = readonly [head: string, book: string]

const describeBook = (bets: number, sha256: string): string => `${bets} bets, SHA-256 ${sha256}`

const invalid = (what: string) => (reason: string) => `${what} is not valid: ${reason}`

/** Verifies the signature of a receipt, and that it is one of this draw and agency. */
export const openOwnReceipt = (
  note: string,
  { agency, draw, operator }: EvidenceOwner
): Result.Result<Receipt, string> =>
  Result.gen(function* () {
    const receipt = yield* Result.mapError(openReceipt(note, operator), invalid("the receipt"))
    if (receipt.draw !== draw) {
      return yield* Result.fail(`the receipt is for the draw ${receipt.draw}, not for ${draw}`)
    }
    if (receipt.agency !== agency) {
      return yield* Result.fail(`the receipt is for agency ${receipt.agency}`)
    }
    return receipt
  })

/** Checks that a receipt is for the agency's own book. */
export const checkReceipt = (
  { bets, sha256 }: Receipt,
  { book }: Participant
): Result.Result<void, string> =>
  bets === book.total && sha256 === book.sha256
    ? Result.void
    : Result.fail(
        `the receipt is for another book: it says ${describeBook(bets, sha256)}; ` +
          `this book has ${describeBook(book.total, book.sha256)}`
      )

/** The entries that two proofs of one seal show. */
export interface ProvenEntries {
  /** The seal's root in base64. */
  readonly root: string
  readonly head: { readonly index: number; readonly entry: string }
  readonly book: { readonly entry: string }
}

/** Verifies two proofs under the operator's key, and that they are of the same seal. */
export const openSeal = (
  [headProof, bookProof]: SealProofs,
  { draw, operator }: EvidenceOwner
): Result.Result<ProvenEntries, string> =>
  Result.gen(function* () {
    const head = yield* Result.mapError(
      openProof(headProof, draw, operator),
      invalid("the proof of the seal's first entry")
    )
    const book = yield* Result.mapError(
      openProof(bookProof, draw, operator),
      invalid("the proof that the seal has this book")
    )
    const root = toBase64(head.checkpoint.root)
    const other = toBase64(book.checkpoint.root)
    if (root !== other) {
      const roots = `the roots ${root} and ${other}`
      return yield* Result.fail(`two seals of one draw: its two proofs have ${roots}`)
    }
    return { root, head, book }
  })

/** Where the number comes from, as the seal says it. */
export interface SealedTerms {
  readonly source: SealedSource
  /** POSIX seconds, by the operator's clock. */
  readonly sealedAt: number
}

/** Checks that a seal has the agency's own book, and the source that each receipt promised. */
export const checkSeal = (
  entries: ProvenEntries,
  own: Participant,
  receipts: ReadonlyArray<Receipt>
): Result.Result<SealedTerms, string> =>
  Result.gen(function* () {
    const first = yield* Result.mapError(
      parseFirstEntry(entries.head.entry),
      invalid("the seal's first entry")
    )
    if (entries.head.index !== 0 || first.draw !== own.draw) {
      return yield* Result.fail(
        `the seal's first entry is entry ${entries.head.index} of the draw ${first.draw}, ` +
          `expected entry 0 of the draw ${own.draw}`
      )
    }
    yield* checkSealedBook(entries.book.entry, own)
    const { sealedAt, source } = first
    for (const receipt of receipts) {
      if (showSource(sealedSource(receipt.source, sealedAt)) === showSource(source)) continue
      const promised = `a receipt promised the number from ${showRule(receipt.source)}`
      return yield* Result.fail(`${promised}; the seal takes it from ${showSource(source)}`)
    }
    if (source._tag === "drand" && sealedAt >= timeOfRound(source.round)) {
      const round = `drand round ${source.round}`
      return yield* Result.fail(`by its own time the seal was made after ${round} was published`)
    }
    return { source, sealedAt }
  })

/** An entry is shown up to this length, which is enough for that of a book. */
const SHOWN_ENTRY_CHARACTERS = 160

const checkSealedBook = (entry: string, { agency, book }: Participant) => {
  const parsed = Result.getOrUndefined(parseBookEntry(entry))
  const isOwn =
    parsed?.agency === agency &&
    parsed.bets === book.total &&
    parsed.bytes === book.bytes &&
    parsed.sha256 === book.sha256
  if (isOwn) return Result.void
  const shown = JSON.stringify(entry.trimEnd().slice(0, SHOWN_ENTRY_CHARACTERS))
  return Result.fail(
    `the seal does not have this book: its entry is ${shown}; agency ${agency} has ` +
      `${describeBook(book.total, book.sha256)}, ${book.bytes} bytes`
  )
}

/** Verifies the signature of a result, and that it is one of this draw. */
export const openOwnResult = (
  note: string,
  { draw, operator }: EvidenceOwner
): Result.Result<DrawResult, string> =>
  Result.gen(function* () {
    const result = yield* Result.mapError(openResult(note, operator), invalid("the result"))
    return result.draw === draw
      ? result
      : yield* Result.fail(`the result is of the draw ${result.draw}, not of ${draw}`)
  })

/** The number that a source and a result lead to; undefined if people announce it. */
const derivedNumber = (source: SealedSource, { beacon, draw }: DrawResult): number | undefined => {
  if (source._tag === "fixed") return source.number
  return beacon && winningNumberOf(draw, randomnessOf(beacon.signature))
}

/** Checks that the number of a result follows from the seal. Not yet checked: the beacon. */
export const checkResult = (
  result: DrawResult,
  told: number,
  seal: { readonly root: string; readonly source: SealedSource }
): Result.Result<void, string> =>
  Result.gen(function* () {
    const { number } = result
    const root = toBase64(result.root)
    if (root !== seal.root) {
      return yield* Result.fail(`the result is of a seal with the root ${root}, not ${seal.root}`)
    }
    if (number !== told) {
      return yield* Result.fail(
        `the result says the number ${number}, but the winners are those of ${told}`
      )
    }
    const { source } = seal
    if (result.beacon?.round !== (source._tag === "drand" ? source.round : undefined)) {
      const got = result.beacon === undefined ? "no round" : `drand round ${result.beacon.round}`
      return yield* Result.fail(`the result has ${got}; the seal says ${showSource(source)}`)
    }
    const derived = derivedNumber(source, result)
    if (derived === undefined || derived === number) return
    const follows = `${showSource(source)} gives the number ${derived}`
    return yield* Result.fail(`the number does not follow: ${follows}, not ${number}`)
  })

/** Checks that the winners that an agency was told are its own, in the order of its book. */
export const checkWinners = (
  told: ReadonlyArray<string>,
  own: ReadonlyArray<string>,
  { number, winners }: DrawResult,
  agency: Agency
): Result.Result<void, string> => {
  const leftOut = surplus(own, told)
  if (leftOut !== undefined) {
    return Result.fail(`the winner ${leftOut} is left out: this book has its bet on ${number}`)
  }
  const added = surplus(told, own)
  if (added !== undefined) {
    return Result.fail(`the winner ${added} is added: this book has no such bet on ${number}`)
  }
  const at = own.findIndex((document, index) => document !== told[index])
  if (at !== -1) {
    return Result.fail(
      `the winners are not in the order of the book: ${told[at]} came before ${own[at]}`
    )
  }
  const count = winners.find((line) => line.agency === agency)?.count
  return count === own.length
    ? Result.void
    : Result.fail(
        `the result counts ${count ?? "no"} winners of agency ${agency}, its book has ${own.length}`
      )
}

/** Returns the first document that `one` has more often than `other`. */
const surplus = (one: ReadonlyArray<string>, other: ReadonlyArray<string>) => {
  const left = new Map<string, number>()
  for (const document of other) left.set(document, (left.get(document) ?? 0) + 1)
  return one.find((document) => {
    const count = left.get(document) ?? 0
    left.set(document, count - 1)
    return count === 0
  })
}
