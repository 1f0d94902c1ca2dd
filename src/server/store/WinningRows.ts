/** Checks the winning rows of an SQL store, because other programs can write to its tables. */
import type { Agency } from "../../domain/Agency.ts"
import { BetBatchBuilder } from "../../domain/BetBatch.ts"
import { DamagedBet, type WinningBets } from "./BetStore.ts"

/** A winning bet as the columns of an SQL store. */
export interface WinningRow {
  readonly agency: Agency
  readonly position: number
  readonly first_name: string
  readonly last_name: string
  readonly document: string
  /** As `YYYY-MM-DD`. */
  readonly birthdate: string
  readonly number: number
}

/** Returns each agency's bets in row order, or its first row that is not a valid bet. */
export const winnersOf = (rows: Iterable<WinningRow>): ReadonlyMap<Agency, WinningBets> => {
  const winners = new Map<Agency, WinningBets>()
  for (const [agency, own] of Map.groupBy(rows, (row) => row.agency)) {
    winners.set(agency, betsOf(own))
  }
  return winners
}

const betsOf = (rows: ReadonlyArray<WinningRow>): WinningBets => {
  const builder = new BetBatchBuilder()
  for (const { agency, position, first_name, last_name, ...row } of rows) {
    const fields = [first_name, last_name, row.document, row.birthdate, String(row.number)]
    const problem = builder.addTexts(fields)
    if (problem === undefined) continue
    const reason = `${problem.field}: ${problem.message}`
    return new DamagedBet({ agency, position, reason })
  }
  return builder.build()
}
