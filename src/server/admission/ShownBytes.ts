/** What a line of the log shows of the bytes that a peer sent, which may be anything. */
import { NATIVE_PREFACE } from "../../protocol/Dialect.ts"

const SHOWN_BYTES = 64

/** The first bytes in hex. */
export const showBytes = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, SHOWN_BYTES))
    .toString("hex")
    .replace(/..(?=.)/g, "$& ")

/** The first bytes of a connection. What begins as the native dialect does may hold a token. */
export const showFirstBytes = (bytes: Uint8Array): string =>
  showBytes(bytes[0] === NATIVE_PREFACE[0] ? bytes.subarray(0, NATIVE_PREFACE.length) : bytes)
