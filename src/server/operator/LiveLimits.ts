/**
 * The rhythm and the limits of what a server sends to a live board. Imports nothing, so that the
 * board's script contains none of the server.
 */

/** Time between two points of `RatesEvent`, and how many of them a server keeps: ten minutes. */
export const RATE_MILLIS = 2000
export const MAX_RATES = 300
/**
 * A board is told again after this time if nothing changes. It waits for three times as long, for
 * looks at the store that take long, before it gives the connection up.
 */
export const MAX_SILENCE_MILLIS = 5000
