/**
 * How TLS looks to an end that does not speak it, and how that end says so: the first record of a
 * connection (RFC 8446, 5.1). Pure: bytes in, data out.
 */

const ALERT = 0x15
const HANDSHAKE = 0x16
/** Every version of TLS since 1.0 has it in its records. */
const MAJOR_VERSION = 3
const FATAL = 2
const PROTOCOL_VERSION = 70

/** The longest record: a header and its content. */
export const MAX_RECORD_BYTES = 5 + 2 ** 14

/** As far as the bytes have come. */
const beginsWithRecord = (bytes: Uint8Array, type: number): boolean =>
  bytes[0] === type && (bytes.length < 2 || bytes[1] === MAJOR_VERSION)

/** Whether a client begins with TLS. */
export const beginsWithHandshake = (bytes: Uint8Array): boolean =>
  beginsWithRecord(bytes, HANDSHAKE)

/** Whether a server says that it was not sent TLS. */
export const beginsWithAlert = (bytes: Uint8Array): boolean => beginsWithRecord(bytes, ALERT)

/** Says to a peer, in TLS, that it spoke none. */
export const NOT_TLS_ALERT = Uint8Array.of(ALERT, 3, 1, 0, 2, FATAL, PROTOCOL_VERSION)

/** Says to a peer that it spoke TLS: text, which its end takes for a wrong version of TLS. */
export const NO_TLS_HERE = new TextEncoder().encode("This port of a lottery server has no TLS.\n")
