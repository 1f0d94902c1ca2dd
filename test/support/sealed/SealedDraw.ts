/** Makes sealed draws, honest and forged, with the keys of the vectors. */
import { MarkedHash } from "../../../src/domain/seal/MarkedDigest.ts"
import type { SealedSource } from "../../../src/domain/seal/NumberRule.ts"
import { entriesOf, type Seal, type SealedBook } from "../../../src/domain/seal/Seal.ts"
import { showSealFile, signSeal, treeOf } from "../../../src/protocol/notes/SealFile.ts"
import { cosign, operatorKey } from "../SealVectors.ts"

/** A row that loses with the vectors' number, 6286, unless the number is given. */
export const rowOf = (document: number, number = document % 5000): string =>
  `Ana,Pérez,${document},1999-03-17,${number}\n`

export const rowsOf = (count: number, first = 0): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => rowOf(first + index))

export const bookOf = (agency: number, rows: ReadonlyArray<string>): SealedBook => {
  const hash = new MarkedHash()
  hash.update(Buffer.from(rows.join("")))
  return { ...hash.digest(), agency, bets: rows.length, salt: "5a".repeat(16) }
}

/** Round 1000 of drand, as in the vectors, and when it is published. */
export const ROUND: SealedSource = { _tag: "drand", round: 1000 }
export const ROUND_TIME = 1_692_806_364
export const SEALED_AT = ROUND_TIME - 60

export const sealOf = (agencies: Seal["agencies"], more: Partial<Seal> = {}): Seal => ({
  draw: "default",
  sealedAt: SEALED_AT,
  source: ROUND,
  agencies,
  ...more
})

/** Signs a seal, whatever it says; with `witnessedAt` the witness does too. */
export const signed = (seal: Seal, witnessedAt?: number) => {
  const entries = entriesOf(seal)
  const joined = entries.join("")
  const tree = treeOf(joined)
  const alone = signSeal({ draw: seal.draw, tree }, operatorKey)
  const checkpoint = alone.slice(0, alone.lastIndexOf("\n\n") + 1)
  const note = witnessedAt === undefined ? alone : `${alone}${cosign(checkpoint, witnessedAt)}`
  return { entries, file: showSealFile({ entries: joined, note }), note, root: tree.root, tree }
}
