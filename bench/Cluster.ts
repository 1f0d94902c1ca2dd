/** The PostgreSQL of the measurements: of its own, with settings for bulk loads. */
import { Effect } from "effect"
import {
  hasInitdb,
  type PostgresCluster,
  startClusterWith
} from "../test/support/PostgresCluster.ts"

/** Undefined where PostgreSQL is not installed. */
export const startPostgres = Effect.suspend(() =>
  hasInitdb
    ? startClusterWith({ shared_buffers: "512MB", max_wal_size: "8GB" })
    : Effect.succeed(undefined as PostgresCluster | undefined)
)
