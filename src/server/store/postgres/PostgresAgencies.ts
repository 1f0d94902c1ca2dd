/** The agencies' rows in PostgreSQL, which exist before their first bet. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import { Effect, Result } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import type { Postgres } from "./PostgresClient.ts"

export const integers = (values: ReadonlyArray<number>) =>
  // Cannot fail: int4 has an array type.
  Result.getOrThrow(PgTypes.array(values, PgTypes.OID.int4))

/** Creates the rows of agencies, and the draw's, unless they exist. */
export const makeAgencies = Effect.fnUntraced(function* (
  { drawId, key, sql }: Postgres,
  agencies: ReadonlyArray<Agency>
) {
  yield* sql`insert into draws (name) values (${drawId}) on conflict do nothing`
  yield* sql`
    insert into agencies (draw, agency)
    select ${key}, agency from unnest(${integers(agencies)}) as agency
    on conflict do nothing`
})
