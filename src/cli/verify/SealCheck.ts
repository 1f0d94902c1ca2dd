/** Checks the seal itself, and that there is no other one (docs/sealed-draw.md, steps 1 and 2). */
import { Result } from "effect"
import { nameAgencies } from "../../domain/Draw.ts"
import type { SealedSource } from "../../domain/seal/NumberRule.ts"
import { timeOfRound } from "../../domain/seal/Quicknet.ts"
import { isBook, parseBookEntry, parseFirstEntry } from "../../domain/seal/Seal.ts"
import { toBase64 } from "../../protocol/notes/Base64.ts"
import { type Checkpoint, parseCheckpoint } from "../../protocol/notes/Checkpoint.ts"
import { type OpenedSeal, openSealFile, splitSealFile } from "../../protocol/notes/SealFile.ts"
import { openOperators } from "../../protocol/notes/SignedNote.ts"
import { openProof } from "../../protocol/notes/TlogProof.ts"
import { counted } from "../log/ProgressText.ts"
import { type Check, forged, note, proven, showSeconds, wrong } from "./Check.ts"
import { mismatch } from "./FileKind.ts"
import { decode, type Given, type TextFile } from "./Given.ts"

/** The checkpoint of a seal whose entries are not checked. */
const signedCheckpoint =
  ({ operator, witnesses }: Given) =>
  (text: string): Result.Result<Checkpoint, string> =>
    splitSealFile(text).pipe(
      Result.flatMap((parts) => openOperators(parts.note, operator, witnesses)),
      Result.flatMap((opened) => parseCheckpoint(opened.text))
    )

/** Opens the seal. Without it there is nothing to compare anything with. */
export const openSeal = (given: Given): Result.Result<OpenedSeal, Check> =>
  Result.mapError(
    decode(given.seal, "seal", (text) => openSealFile(text, given.operator, given.witnesses)),
    (reason) => {
      const text = Result.getOrElse(given.seal.text, () => "")
      const isSigned = Result.isSuccess(signedCheckpoint(given)(text))
      // Without the operator's signature it is only not the operator's seal.
      const check = isSigned && mismatch(text, "seal") === undefined ? forged : wrong
      return check("seal", `${given.seal.name}: ${reason}`)
    }
  )

export const rootOf = ({ root }: { readonly root: Uint8Array }): string => toBase64(root)

export const describeSource = (source: SealedSource): string => {
  if (source._tag === "fixed") return `was fixed from the start: ${source.number}`
  if (source._tag === "announced") return "is announced after the seal"
  const time = showSeconds(timeOfRound(source.round))
  return `follows from drand round ${source.round}, published at ${time}`
}

const describeSeal = ({ checkpoint, seal }: OpenedSeal, given: Given): ReadonlyArray<Check> => {
  const { agencies, draw, sealedAt, source } = seal
  const books = agencies.filter(isBook)
  const bets = books.reduce((sum, book) => sum + book.bets, 0)
  const excluded = agencies.filter((one) => !isBook(one)).map(({ agency }) => agency)
  return [
    proven(
      "seal",
      `draw ${draw}, signed by ${given.operator.name}: ${counted(bets, "bet")} of ` +
        `${nameAgencies(books.map(({ agency }) => agency))}; root ${rootOf(checkpoint)}`
    ),
    note("seal", `the winning number ${describeSource(source)}`),
    note("seal", `sealed at ${showSeconds(sealedAt)} by the operator's clock`),
    ...(excluded.length === 0
      ? []
      : [note("seal", `excluded from the draw: ${nameAgencies(excluded)}`)])
  ]
}

const twoSeals = (given: Given, sealed: OpenedSeal, name: string, root: string): Check =>
  forged(
    "two seals",
    `${given.operator.name} signed two seals of draw ${sealed.seal.draw}: ${given.seal.name} has ` +
      `root ${rootOf(sealed.checkpoint)}, ${name} has root ${root}; the two files prove it`
  )

/** The root alone: a signature over another root proves a fraud, whatever its entries are. */
const signedRoot = (given: Given, sealed: OpenedSeal, text: string) =>
  signedCheckpoint(given)(text).pipe(
    Result.filterOrFail(
      ({ origin }) => origin === sealed.checkpoint.origin,
      ({ origin }) => `is a seal of ${origin}, expected ${sealed.checkpoint.origin}`
    ),
    Result.map(rootOf)
  )

const otherSeal =
  (given: Given, sealed: OpenedSeal) =>
  (file: TextFile): Check => {
    const signed = decode(file, "seal", (text) => signedRoot(given, sealed, text))
    if (Result.isFailure(signed)) return wrong("other seal", `${file.name}: ${signed.failure}`)
    if (signed.success !== rootOf(sealed.checkpoint)) {
      return twoSeals(given, sealed, file.name, signed.success)
    }
    const whole = decode(file, "seal", (text) =>
      openSealFile(text, given.operator, given.witnesses)
    )
    return Result.isFailure(whole)
      ? wrong("other seal", `${file.name}: ${whole.failure}`)
      : proven("other seal", `${file.name} is the same seal`)
  }

const describeEntry = (entry: string): string =>
  Result.match(parseBookEntry(entry), {
    onSuccess: ({ agency }) => `the book of agency ${agency} is`,
    onFailure: () =>
      Result.isSuccess(parseFirstEntry(entry))
        ? "the first line, with the source of the number, is"
        : `the line "${entry.trimEnd()}" is`
  })

const proof =
  (given: Given, sealed: OpenedSeal) =>
  (file: TextFile): Check => {
    const open = (witnesses: Given["witnesses"]) =>
      decode(file, "proof", (text) => openProof(text, sealed.seal.draw, given.operator, witnesses))
    const opened = open([])
    if (Result.isFailure(opened)) return wrong("proof", `${file.name}: ${opened.failure}`)
    const { checkpoint, entry } = opened.success
    const root = rootOf(checkpoint)
    if (root !== rootOf(sealed.checkpoint)) return twoSeals(given, sealed, file.name, root)
    const whole = open(given.witnesses)
    if (Result.isFailure(whole)) return wrong("proof", `${file.name}: ${whole.failure}`)
    if (checkpoint.size !== sealed.checkpoint.size) {
      const sizes = `${checkpoint.size} entries, the seal has ${sealed.checkpoint.size}`
      return wrong("proof", `${file.name}: signed for ${sizes}`)
    }
    return proven("proof", `${file.name}: ${describeEntry(entry)} in the seal`)
  }

export const checkSeal = (given: Given, sealed: OpenedSeal): ReadonlyArray<Check> => [
  ...describeSeal(sealed, given),
  ...given.otherSeals.map(otherSeal(given, sealed)),
  ...given.proofs.map(proof(given, sealed))
]
