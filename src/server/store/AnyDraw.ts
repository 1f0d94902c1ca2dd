/**
 * The id with which a reader that only lists the draws of a store opens it; no draw has this id.
 * Imports no library, because SQLite's worker loads it.
 */
export const ANY_DRAW = ""
