/** A PostgreSQL cluster for the measurements, with settings for bulk loads. */
import { Effect } from "effect"
import {
  freshSchema,
  hasInitdb,
  type PostgresCluster,
  startClusterWith
} from "../../test/support/stores/PostgresCluster.ts"

/** Checkpoints run between measurements, not on a timer. */
const SETTINGS = { shared_buffers: "512MB", max_wal_size: "8GB", checkpoint_timeout: "1h" }

export const startPostgres: Effect.Effect<
  PostgresCluster | undefined,
  Effect.Error<ReturnType<typeof startClusterWith>>,
  Effect.Services<ReturnType<typeof startClusterWith>>
> = Effect.suspend(() => (hasInitdb ? startClusterWith(SETTINGS) : Effect.succeed(undefined)))

/** Creates a schema and returns its URL. The checkpoint leaves nothing to write later. */
export const freshPostgres = Effect.fnUntraced(function* (cluster: PostgresCluster) {
  const url = yield* freshSchema(cluster.url())
  yield* cluster.query("checkpoint")
  return url
})
