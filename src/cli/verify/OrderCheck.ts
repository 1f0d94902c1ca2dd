/** Checks that the seal came before the number could be known (docs/sealed-draw.md, step 4). */
import { timeOfRound } from "../../domain/seal/Quicknet.ts"
import type { OpenedSeal } from "../../protocol/notes/SealFile.ts"
import type { VerifierKey } from "../../protocol/notes/SignedNote.ts"
import { counted } from "../log/ProgressText.ts"
import { type Check, forged, note, notProven, proven, showSeconds } from "./Check.ts"
import type { Given } from "./Given.ts"

const ABOUT = "order"

const FIRST = "that the seal came before the number"

const isSame = (one: VerifierKey, other: VerifierKey): boolean =>
  one.name === other.name && one.id === other.id

/** What one cosignature shows. */
const witnessCheck = ({ seal }: OpenedSeal, name: string, time: number): Check => {
  const signed = `${name} signed the seal at ${showSeconds(time)}`
  if (seal.source._tag !== "drand") return note(ABOUT, signed)
  const { round } = seal.source
  const published = timeOfRound(round)
  const seconds = (count: number) => counted(count, "second")
  return time < published
    ? proven(ABOUT, `${signed}, ${seconds(published - time)} before round ${round} was published`)
    : forged(
        ABOUT,
        `${signed}, too late: round ${round} had been public for ${seconds(time - published)}`
      )
}

const withoutWitness = (given: Given): Check => {
  const kept = given.receipts.length + given.proofs.length
  const hint =
    kept === 0
      ? "no witness and no agency's receipt or proof given"
      : "no witness given; an agency vouches for it if its receipt or proof is from before"
  return notProven(ABOUT, `${FIRST} (${hint})`)
}

export const checkOrder = (given: Given, opened: OpenedSeal): ReadonlyArray<Check> => {
  const { source } = opened.seal
  const { signatures } = opened.note
  const checks = given.witnesses.flatMap((witness) => {
    const times = signatures.flatMap(({ key, time }) => (isSame(key, witness) ? (time ?? []) : []))
    return times.length === 0
      ? [notProven(ABOUT, `that ${witness.name} saw the seal (its signature is not there)`)]
      : times.map((time) => witnessCheck(opened, witness.name, time))
  })
  if (source._tag === "fixed") {
    const text = `${FIRST} (${source.number} was fixed from the start)`
    return [...checks, notProven(ABOUT, text)]
  }
  if (source._tag === "announced") {
    const text = `${FIRST} (no file says when the number was announced)`
    return [...checks, notProven(ABOUT, text)]
  }
  const isShown = checks.some(({ verdict }) => verdict === "proven")
  const isLate = checks.some(({ verdict }) => verdict === "forged")
  return isShown || isLate ? checks : [...checks, withoutWitness(given)]
}
