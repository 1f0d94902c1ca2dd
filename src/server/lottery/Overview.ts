/** How far the draw has got, as a server knows without reading its store. */
export interface Overview {
  readonly state: "taking bets" | "closed" | "waiting for the number" | "drawn"
  /** Agencies of the draw, excluded ones as well. */
  readonly expected: number
  readonly finished: number
  readonly excluded: number
  readonly told: number
  /** Milliseconds since the epoch. */
  readonly closesAt: number | undefined
}
