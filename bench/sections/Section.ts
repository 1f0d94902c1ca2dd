/** A section of the measurements, which can be run alone. */
import type { Effect, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ClusterFailed } from "../../test/support/stores/PostgresCluster.ts"
import type { ProgramFailed } from "../measure/Program.ts"
import type { Section } from "../report/PerformanceTable.ts"

export interface Options {
  /** For files that several rounds share; removed at the end. */
  readonly folder: string
  /** Measures small amounts, to try the benchmark out. */
  readonly isQuick: boolean
  /** Returns the number of rounds, given the usual number. */
  readonly roundsOf: (usual: number) => number
}

export type Measure = (
  options: Options
) => Effect.Effect<Section, ProgramFailed | ClusterFailed | SqlError, Scope.Scope>
