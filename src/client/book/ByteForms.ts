/** The forms of a file's bytes: compressed, a spreadsheet, or text in another encoding. */
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import { type BookSample, latin1 } from "./BookSample.ts"

/** A form that a file has instead of that of a book. */
export interface Form {
  /** The form as a clause, such as "it is compressed with gzip". */
  readonly clause: string
  /** A shell command that changes the form; it reads standard input, except `UNZIP`. */
  readonly filter?: string
  /** What a person must do if there is no such command. */
  readonly advice?: string
  /** The sample after the filter, which may have other forms; undefined if it is unknown. */
  readonly text?: string
}

/** The only filter that cannot read standard input. */
export const UNZIP = "unzip -p"

const GZIP = /^\x1f\x8b/
const ZIP = /^PK\x03\x04/
const END_OF_ZIP = /^PK\x05\x06/
/** The first names in the archives that Excel and LibreOffice write, and Excel's older format. */
const SPREADSHEET =
  /^(?:PK\x03\x04.{26}(?:\[Content_Types\]|_rels\/|xl\/|docProps\/|mimetype)|\xd0\xcf\x11\xe0)/s

const zip = (end: Uint8Array): Form => {
  // The end has no number if the archive has a comment, which is rare.
  const files = END_OF_ZIP.test(latin1(end)) ? Buffer.from(end).readUInt16LE(10) : 1
  if (files === 1) return { clause: "it is a zip archive", filter: UNZIP }
  const advice = "unpack it with unzip, and check each book"
  return { clause: `it is a zip archive of ${files} files`, advice }
}

/** With a byte order mark, or with the zeros of four Latin characters. */
const UTF_16 = [
  { start: /^\xff\xfe/, encoding: "UTF-16LE", from: "UTF-16" },
  { start: /^\xfe\xff/, encoding: "UTF-16BE", from: "UTF-16" },
  { start: /^(?:[^\0]\0){4}/, encoding: "UTF-16LE", from: "UTF-16LE" },
  { start: /^(?:\0[^\0]){4}/, encoding: "UTF-16BE", from: "UTF-16BE" }
]

const decoded = (bytes: Uint8Array, clause: string, encoding: string, from = encoding): Form => ({
  clause: `it is in ${clause}, not in UTF-8`,
  filter: `iconv -f ${from} -t UTF-8`,
  text: new TextDecoder(encoding).decode(bytes)
})

/** Returns the form of the bytes; undefined if they are text in UTF-8, or unknown. */
export const formOf = ({ bytes, end, hasUtf8, isWindows1252 }: BookSample): Form | undefined => {
  const start = latin1(bytes.subarray(0, 64))
  if (GZIP.test(start)) return { clause: "it is compressed with gzip", filter: "gunzip -c" }
  if (SPREADSHEET.test(start)) {
    const advice = "open it in Excel or LibreOffice and save it as CSV, in UTF-8"
    return { clause: "it is a spreadsheet", advice }
  }
  if (ZIP.test(start)) return zip(end)
  const utf16 = UTF_16.find((one) => one.start.test(start))
  if (utf16 !== undefined) return decoded(bytes, "UTF-16", utf16.encoding, utf16.from)
  // A valid character in UTF-8 anywhere in the file would be converted too, and be ruined.
  return isWindows1252 && !hasUtf8 && decodeUtf8(bytes) === undefined
    ? decoded(bytes, "Windows-1252 (Latin-1)", "WINDOWS-1252")
    : undefined
}
