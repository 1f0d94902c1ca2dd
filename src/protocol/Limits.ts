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

/** The `length` of the first native frame, in bytes: nobody is known yet. */
export const MAX_HELLO_BYTES = 1024
