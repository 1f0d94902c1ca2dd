/**
 * The rhythm and the limits of what a server sends to a live board. Imports nothing, so that the
 * board's script contains none of the server.
 */

/** Time between two points of `RatesEvent`, and how many of them a server keeps: ten minutes. */
export const RATE_MILLIS = 2000
export const MAX_RATES = 300
/** A board hears something at least this often, or the connection is broken. */
export const MAX_SILENCE_MILLIS = 5000
