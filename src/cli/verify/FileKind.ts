/** Recognises a file that was given to the wrong flag of `lottery verify`, or is damaged. */

const KINDS = {
  seal: { name: "a seal", flag: "--seal", start: "lottery-seal/v1 " },
  receipt: { name: "a receipt", flag: "--receipt", start: "lottery-receipt/v1 " },
  result: { name: "a signed result", flag: "--result", start: "lottery-result/v1 " },
  proof: { name: "a proof", flag: "--proof", start: "c2sp.org/tlog-proof@v1" },
  beacon: { name: "a drand round", flag: "--beacon", start: "{" }
} as const
export type FileKind = keyof typeof KINDS

/** Says why a text cannot be a file of this kind; undefined if its beginning is right. */
export const mismatch = (text: string, expected: FileKind): string | undefined => {
  const { name, start } = KINDS[expected]
  if (text === "") return `is empty, expected ${name}`
  if (text.startsWith(start)) {
    // Every format has LF alone, and JSON may have either.
    return text.includes("\r\n") && expected !== "beacon"
      ? "its lines end in CRLF, expected LF: get the file again, unconverted"
      : undefined
  }
  const other = Object.values(KINDS).find((one) => text.startsWith(one.start))
  return other === undefined
    ? `is not ${name}: expected it to begin with ${JSON.stringify(start)}`
    : `is ${other.name}, expected ${name}; give it with ${other.flag}`
}
