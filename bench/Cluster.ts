/** The PostgreSQL of the measurements: of its own, with settings for bulk loads. */
import { Effect } from "effect"
import {
  freshSchema,
  hasInitdb,
  type PostgresCluster,
  startClusterWith
} from "../test/support/stores/PostgresCluster.ts"

/** Checkpoints come between two measurements, and not by the clock. */
const SETTINGS = { shared_buffers: "512MB", max_wal_size: "8GB", checkpoint_timeout: "1h" }

/** Undefined where PostgreSQL is not installed. */
export const startPostgres: Effect.Effect<
  PostgresCluster | undefined,
  Effect.Error<ReturnType<typeof startClusterWith>>,
  Effect.Services<ReturnType<typeof startClusterWith>>
> = Effect.suspend(() => (hasInitdb ? startClusterWith(SETTINGS) : Effect.succeed(undefined)))

/** Gives the URL of a new schema, in a cluster that has nothing left to write. */
export const freshPostgres = Effect.fnUntraced(function* (cluster: PostgresCluster) {
  const url = yield* freshSchema(cluster.url())
  yield* cluster.query("checkpoint")
  return url
})
