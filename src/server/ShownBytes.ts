/** What a line of the log shows of the bytes that a peer sent, which may be anything. */

const SHOWN_BYTES = 64

/** The first bytes in hex. */
export const showBytes = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, SHOWN_BYTES))
    .toString("hex")
    .replace(/..(?=.)/g, "$& ")
