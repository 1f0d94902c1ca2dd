/**
 * How large a message may be, each with its unit and reason (the wire's limits). What is larger is
 * refused from its header, before it is buffered.
 */

/** A text line with its line end, in bytes: it is for people and health checks. */
export const MAX_LINE_BYTES = 1024

/** The bytes of a binary packet after its size: what a u16 can say. */
export const MAX_PACKET_BYTES = 65_535

/** The smallest `size` of a binary packet: one byte of content and the two of `continue`. */
export const MIN_PACKET_BYTES = 3

/** The bytes of a JSON message after its length: over ten times what the old clients send. */
export const MAX_JSON_BYTES = 8 * 1024 * 1024

/** The `length` of a native frame, in bytes: some 15,000 bets, and a small part of any memory. */
export const MAX_FRAME_BYTES = 1024 * 1024

/** The `length` of the first native frame, in bytes: the peer is not known yet. */
export const MAX_HELLO_BYTES = 1024

/**
 * The `length` of a native client's control frame, in bytes: messages may grow, but not to
 * a megabyte of JSON.
 */
export const MAX_CONTROL_BYTES = 16 * 1024

/** An agency's token in a `Hello`, in bytes: which may have little more. */
export const MAX_TOKEN_BYTES = 512

/** The levels of a client's JSON: the object and the list of bets in it. */
export const MAX_JSON_DEPTH = 2

/** An element of that list, in bytes as written: the shortest bet is `"a,b,1,1900-01-01,0"`. */
export const MIN_JSON_ROW_BYTES = 20

/** The members of a client's JSON: ours has three, and unknown ones are let through. */
export const MAX_JSON_MEMBERS = 16

/** A JSON message with more bytes is large: large ones are parsed one at a time. */
export const LARGE_JSON_BYTES = 256 * 1024

/**
 * How many times its bytes parsing a JSON message takes in memory. The server sets that apart for
 * one message of the largest size.
 */
export const JSON_PARSE_FACTOR = 10
