/** The forms of a file's bytes: compressed, a spreadsheet, or text in another encoding. */
import { constants, gunzipSync, inflateRawSync } from "node:zlib"
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import { contentsOf, type Form, type Sample, UNZIP, wholeLines } from "./BookSample.ts"

const latin1 = new TextDecoder("latin1")

const startsWith = (bytes: Uint8Array, ...start: ReadonlyArray<number>): boolean =>
  start.every((byte, index) => bytes[index] === byte)

/** Compressed bytes to look at: enough for many lines, and they expand to a few MiB at most. */
const COMPRESSED_BYTES = 4096

/** Whether the rest of the content has commas is unknown. */
const sampleOf = (content: Uint8Array): Sample => ({
  bytes: wholeLines(content),
  contents: { ...contentsOf(content), hasCommaOrQuote: true }
})

const NOTHING = sampleOf(new Uint8Array(0))

/** Expands the beginning of compressed data; returns nothing if it is damaged. */
const expand = (bytes: Uint8Array, expandSync: typeof gunzipSync): Sample => {
  const options = { finishFlush: constants.Z_SYNC_FLUSH }
  let expanded: Uint8Array
  try {
    expanded = expandSync(bytes.subarray(0, COMPRESSED_BYTES), options)
  } catch {
    expanded = new Uint8Array(0)
  }
  return sampleOf(expanded)
}

const gzip: Form = ({ bytes }) =>
  startsWith(bytes, 0x1f, 0x8b)
    ? {
        clause: "it is compressed with gzip",
        filter: "gunzip -c",
        sample: expand(bytes, gunzipSync)
      }
    : undefined

const DEFLATED = 8
const ZIP_HEADER_BYTES = 30

/** Returns the number of files in a zip archive; 1 if its end has a comment. */
const filesInZip = (end: Uint8Array): number =>
  startsWith(end, 0x50, 0x4b, 0x05, 0x06) ? end[10]! + 256 * end[11]! : 1

const zip: Form = ({ bytes, contents }) => {
  if (!startsWith(bytes, 0x50, 0x4b, 0x03, 0x04) || bytes.length < ZIP_HEADER_BYTES) {
    return undefined
  }
  const files = filesInZip(contents.end)
  if (files > 1) {
    const advice = "unpack it with unzip, and check each book"
    return { clause: `it is a zip archive of ${files} files`, advice, sample: NOTHING }
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset)
  const method = header.getUint16(8, true)
  const nameBytes = header.getUint16(26, true)
  const content = bytes.subarray(ZIP_HEADER_BYTES + nameBytes + header.getUint16(28, true))
  const sample = method === DEFLATED ? expand(content, inflateRawSync) : sampleOf(content)
  return { clause: "it is a zip archive", filter: UNZIP, sample }
}

/** The first names in the archives that Excel and LibreOffice write, and Excel's older format. */
const SPREADSHEET_NAMES = /^PK\x03\x04.{26}(?:\[Content_Types\]|_rels\/|xl\/|docProps\/|mimetype)/s
const OLD_EXCEL = [0xd0, 0xcf, 0x11, 0xe0]

const spreadsheet: Form = (sample) => {
  const start = latin1.decode(sample.bytes.subarray(0, 64))
  return SPREADSHEET_NAMES.test(start) || startsWith(sample.bytes, ...OLD_EXCEL)
    ? {
        clause: "it is a spreadsheet",
        advice: "open it in Excel or LibreOffice and save it as CSV, in UTF-8",
        sample: NOTHING
      }
    : undefined
}

/** Returns whether text without a byte order mark seems to be UTF-16, in `order`. */
const seemsUtf16 = (bytes: Uint8Array, order: "LE" | "BE"): boolean => {
  const start = bytes.subarray(0, 200)
  const zeros = [0, 0]
  for (const [index, byte] of start.entries()) if (byte === 0) zeros[index % 2]!++
  const [even = 0, odd = 0] = zeros
  const [high, low] = order === "LE" ? [odd, even] : [even, odd]
  return low === 0 && high > start.length / 4
}

const utf16: Form = ({ bytes, contents }) => {
  const hasMark = startsWith(bytes, 0xff, 0xfe) || startsWith(bytes, 0xfe, 0xff)
  const order = (["LE", "BE"] as const).find((one) =>
    hasMark ? bytes[0] === (one === "LE" ? 0xff : 0xfe) : seemsUtf16(bytes, one)
  )
  if (order === undefined) return undefined
  const text = new TextDecoder(order === "LE" ? "utf-16le" : "utf-16be").decode(bytes)
  return {
    clause: "it is in UTF-16, not in UTF-8",
    filter: `iconv -f UTF-16${hasMark ? "" : order} -t UTF-8`,
    sample: { bytes: wholeLines(Buffer.from(text)), contents: { ...contents, hasUtf8: true } }
  }
}

const windows1252: Form = ({ bytes, contents }) => {
  // A valid character in UTF-8 anywhere in the file would be converted too, and be ruined.
  if (!contents.isWindows1252 || contents.hasUtf8) return undefined
  if (decodeUtf8(bytes) !== undefined) return undefined
  const text = new TextDecoder("windows-1252").decode(bytes)
  return {
    clause: "it is in Windows-1252 (Latin-1), not in UTF-8",
    filter: "iconv -f WINDOWS-1252 -t UTF-8",
    sample: { bytes: Buffer.from(text), contents: { ...contents, hasUtf8: true } }
  }
}

export const BYTE_FORMS: ReadonlyArray<Form> = [gzip, spreadsheet, zip, utf16, windows1252]
