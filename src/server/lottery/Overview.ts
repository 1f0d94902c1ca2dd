/** How far the draw has got, as a server knows without reading its store. */
import type { Phase } from "../store/DrawPhase.ts"

export interface Overview {
  readonly state: Phase
  /** The drand round that decides the number, once it is known. */
  readonly round: number | undefined
  /** When that round is published, in milliseconds since the epoch. */
  readonly roundAt: number | undefined
  /** Agencies of the draw, excluded ones as well. */
  readonly expected: number
  readonly finished: number
  readonly excluded: number
  readonly told: number
  /** Milliseconds since the epoch. */
  readonly closesAt: number | undefined
}
