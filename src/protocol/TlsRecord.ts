/**
 * Recognizes the first TLS record of a connection (RFC 8446, 5.1) if only one peer uses TLS, and
 * defines the replies that report the mismatch. Pure.
 */

const ALERT = 0x15
const HANDSHAKE = 0x16
/** The major version in the records of TLS 1.0 and later. */
const MAJOR_VERSION = 3
const FATAL = 2
const PROTOCOL_VERSION = 70

/** The longest record: a header and its content. */
export const MAX_RECORD_BYTES = 5 + 2 ** 14

/** Checks only the bytes received so far. */
const beginsWithRecord = (bytes: Uint8Array, type: number): boolean =>
  bytes[0] === type && (bytes.length < 2 || bytes[1] === MAJOR_VERSION)

/** Whether a client starts a TLS handshake. */
export const beginsWithHandshake = (bytes: Uint8Array): boolean =>
  beginsWithRecord(bytes, HANDSHAKE)

/** Whether a server reports that the client does not use TLS. */
export const beginsWithAlert = (bytes: Uint8Array): boolean => beginsWithRecord(bytes, ALERT)

/** The TLS alert for a peer that does not use TLS. */
export const NOT_TLS_ALERT = Uint8Array.of(ALERT, 3, 1, 0, 2, FATAL, PROTOCOL_VERSION)

/** The reply to a peer that uses TLS, whose TLS library reports this text as a wrong version. */
export const NO_TLS_HERE = new TextEncoder().encode("This port of a lottery server has no TLS.\n")
