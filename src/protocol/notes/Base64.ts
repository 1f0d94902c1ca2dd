/** Base64 of RFC 4648, section 4: padded, and each sequence of bytes has exactly one text. */

/** Undefined if the text is not the only encoding of its bytes; at least one byte. */
export const fromBase64 = (text: string): Uint8Array | undefined => {
  const bytes = Buffer.from(text, "base64")
  return bytes.length > 0 && bytes.toString("base64") === text ? bytes : undefined
}

export const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")
