/** Which draw a reader opens a store for. Imports no library, because SQLite's worker loads it. */

/** The id with which a reader that only lists the draws opens the store; no draw has this id. */
export const ANY_DRAW = ""

/** Returns why the store cannot be read; a store that a server has just created has no draw yet. */
export const missingDraw = (drawId: string, draws: ReadonlyArray<string>): string | undefined =>
  drawId === ANY_DRAW || draws.length === 0 || draws.includes(drawId)
    ? undefined
    : `it has no draw ${drawId}; its draws: ${draws.join(", ")}`
