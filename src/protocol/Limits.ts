/**
 * Message size limits (docs/wire.md, "Limits"). Larger messages are refused from their header,
 * before they are buffered.
 */

/** A text line with its line ending, in bytes. Lines are for people and health checks. */
export const MAX_LINE_BYTES = 1024

/** The bytes of a binary packet after its size: the largest u16. */
export const MAX_PACKET_BYTES = 65_535

/** The smallest `size` of a binary packet: one byte of content and two of `continue`. */
export const MIN_PACKET_BYTES = 3

/** The bytes of a JSON message after its length: over ten times what the course's clients send. */
export const MAX_JSON_BYTES = 8 * 1024 * 1024

/** The `length` of a native frame, in bytes: about 15,000 bets in little memory. */
export const MAX_FRAME_BYTES = 1024 * 1024

/** The `length` of the first native frame, in bytes, which comes from an unidentified peer. */
export const MAX_HELLO_BYTES = 1024

/** The `length` of a native client's control frame, in bytes: messages can grow, but stay small. */
export const MAX_CONTROL_BYTES = 16 * 1024

/** An agency's token, in bytes: it must fit in a `Hello`. */
export const MAX_TOKEN_BYTES = 512

/** The levels of a client's JSON: an object with a list of bets. */
export const MAX_JSON_DEPTH = 2

/** The shortest element of that list, in bytes of JSON: `"a,b,1,1900-01-01,0"`. */
export const MIN_JSON_ROW_BYTES = 20

/** The members of an object in a client's JSON. Three are defined and unknown ones are ignored. */
export const MAX_JSON_MEMBERS = 16

/** A JSON message with more bytes is large. Large messages are parsed one at a time. */
export const LARGE_JSON_BYTES = 256 * 1024

/**
 * The memory that parsing a JSON message needs, as a multiple of its size. The server reserves this
 * memory for one message of `MAX_JSON_BYTES`.
 */
export const JSON_PARSE_FACTOR = 10
