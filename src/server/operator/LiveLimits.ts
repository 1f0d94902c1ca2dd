/**
 * What a server and its live board agree on. Imports nothing, so that the board's script contains
 * none of the server.
 */

/**
 * A board is told again after this time if nothing changes. It waits for three times as long, for
 * looks at the store that take long, before it gives the connection up.
 */
export const MAX_SILENCE_MILLIS = 5000
