/** Shows arbitrary bytes from a peer in a log line. */
import { NATIVE_PREFACE } from "../../protocol/native/Preface.ts"

const SHOWN_BYTES = 64

export const showBytes = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, SHOWN_BYTES))
    .toString("hex")
    .replace(/..(?=.)/g, "$& ")

/** Shows only the preface if this may be the native dialect, because a token may follow. */
export const showFirstBytes = (bytes: Uint8Array): string =>
  showBytes(bytes[0] === NATIVE_PREFACE[0] ? bytes.subarray(0, NATIVE_PREFACE.length) : bytes)
