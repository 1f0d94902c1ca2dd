/** Checks the winning rows of an SQL store, because other programs can write to its tables. */
import { Schema } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { Document } from "../../domain/Bet.ts"
import { DamagedBet, type Winners } from "./BetStore.ts"

export interface WinningRow {
  readonly agency: Agency
  readonly position: number
  readonly document: string
}

const isDocument = Schema.is(Document)

/** Returns each agency's documents in row order, or its last row without a valid document. */
export const winnersOf = (rows: Iterable<WinningRow>): ReadonlyMap<Agency, Winners> => {
  const winners = new Map<Agency, Winners>()
  for (const [agency, own] of Map.groupBy(rows, (row) => row.agency)) {
    const documents = own.map(({ document }) => document)
    const damaged = own.findLast(({ document }) => !isDocument(document))
    winners.set(agency, damaged === undefined ? documents : damagedBet(damaged))
  }
  return winners
}

const damagedBet = ({ agency, document, position }: WinningRow) => {
  const reason = `expected a document of 1 to 10 digits, got ${JSON.stringify(document)}`
  return new DamagedBet({ agency, position, reason })
}
