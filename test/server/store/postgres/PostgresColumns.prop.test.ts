import * as PgTypes from "@effect/sql-pg/PgTypes"
import { describe, expect, it } from "@effect/vitest"
import { Result } from "effect"
import { BetBatch, BetBatchSchema } from "../../../../src/domain/BetBatch.ts"
import { Columns } from "../../../../src/server/store/postgres/PostgresColumns.ts"

const { OID } = PgTypes

const libraryColumnsOf = (batch: BetBatch) => {
  const bets = [...batch]
  const array = (values: ReadonlyArray<unknown>, type: number) => ({
    oid: type,
    bytes: Buffer.from(Result.getOrThrow(PgTypes.encode(values, type)))
  })
  return {
    firstNames: array(
      bets.map(({ firstName }) => firstName),
      OID.textArray
    ),
    lastNames: array(
      bets.map(({ lastName }) => lastName),
      OID.textArray
    ),
    documents: array(
      bets.map(({ document }) => document),
      OID.textArray
    ),
    birthdates: array(
      bets.map(({ birthdate }) => birthdate),
      OID.dateArray
    ),
    numbers: array(
      bets.map(({ number }) => number),
      OID.int2Array
    )
  }
}

/** Used for every batch, like those of a server. */
const columns = new Columns()

const sentColumnsOf = (batch: BetBatch) =>
  Object.fromEntries(
    Object.entries(columns.encode(batch)).map(([name, { oid, value }]) => [
      name,
      { oid, bytes: value }
    ])
  )

/** One row per day, with names and numbers of varying lengths. */
const batchOfDays = (from: string, days: number): BetBatch => {
  const rows = Array.from({ length: days }, (_, index) => {
    const day = new Date(Date.parse(from) + index * 86_400_000).toISOString().slice(0, 10)
    const lastName = index % 50 === 0 ? '"Sosa, ""Tito"""' : `Ñ${"ñ".repeat(index % 30)}`
    return `A${"n".repeat(index % 40)},${lastName},${index},${day},${index % 10_000}\n`
  })
  return new BetBatch(new TextEncoder().encode(rows.join("")), days)
}

describe("PostgresColumns", () => {
  it.prop("the columns equal the library's encoding for all bets", [BetBatchSchema], ([batch]) => {
    if (batch.count > 0) expect(sentColumnsOf(batch)).toStrictEqual(libraryColumnsOf(batch))
  })

  it.prop(
    "the columns of several runs of rows equal the library's",
    [BetBatchSchema, BetBatchSchema],
    ([one, other]) => {
      const batch = BetBatch.concat([one, other])
      if (batch.count > 0) expect(sentColumnsOf(batch)).toStrictEqual(libraryColumnsOf(batch))
    }
  )

  it("the columns equal the library's for thousands of days and names of many lengths", () => {
    for (const from of ["1900-01-01", "1999-01-01", "2396-01-01", "9990-01-01"]) {
      const batch = batchOfDays(from, 3000)
      expect(sentColumnsOf(batch)).toStrictEqual(libraryColumnsOf(batch))
    }
  })
})
