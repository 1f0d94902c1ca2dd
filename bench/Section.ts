/** A part of the measurements, which can be run alone. */
import type { Effect, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ClusterFailed } from "../test/support/stores/PostgresCluster.ts"
import type { Section } from "./PerformanceTable.ts"
import type { ProgramFailed } from "./Program.ts"

export interface Occasion {
  /** For books and what else several rounds need; removed at the end. */
  readonly folder: string
  /** A small form of everything, to try it out. */
  readonly isQuick: boolean
  /** How many rounds there are, where there usually are so many. */
  readonly roundsOf: (usual: number) => number
}

export type Measure = (
  occasion: Occasion
) => Effect.Effect<Section, ProgramFailed | ClusterFailed | SqlError, Scope.Scope>
