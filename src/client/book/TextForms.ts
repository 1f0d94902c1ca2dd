/** The forms of a file's text: other separators and dates, and lines that are not bets. */
import { FIELD_COUNT } from "../../domain/BetRow.ts"
import { type BadLine, BookParser } from "./BookParser.ts"
import type { Form } from "./ByteForms.ts"

/** The first bad line of a text; `rest` is the text from there on. */
interface Bad extends Pick<BadLine, "field" | "line"> {
  readonly rest: string
}

/** What the forms depend on. */
interface Options {
  readonly today: string
  /** Whether the whole file, of which the text is a sample, has a comma or a quote. */
  readonly hasCommaOrQuote: boolean
}

type Recognise = (text: string, bad: Bad, options: Options) => Form | undefined

/** A first line that must be removed. */
const firstLine =
  (clause: string, isRecognised: (text: string) => boolean): Recognise =>
  (text, { line }) =>
    line === 1 && isRecognised(text)
      ? { clause, filter: "tail -n +2", text: text.slice(text.indexOf("\n") + 1) }
      : undefined

const separatorLine = firstLine("its first line is Excel's sep=", (text) =>
  /^"?sep=.?"?\r?\n/i.test(text)
)

type Fields = ReadonlyArray<string>

/** Reads records as RFC 4180 says, with line breaks in quoted fields; stops where it cannot. */
const readRecords = (text: string, separator: string): ReadonlyArray<Fields> => {
  const field = new RegExp(
    `(?:"([^"]*(?:""[^"]*)*)"|([^${separator}\r\n]*))(${separator}|\r?\n|$)`,
    "y"
  )
  const records: Array<Fields> = []
  let record: Array<string> = []
  while (field.lastIndex < text.length) {
    const match = field.exec(text)
    if (match === null) return records
    const [, quoted, plain = "", end] = match
    record.push(quoted?.replaceAll('""', '"') ?? plain)
    if (end === separator) continue
    if (record.join("") !== "") records.push(record)
    record = []
  }
  return records
}

const header = firstLine("its first line is a header", (text) => {
  const [first = []] = readRecords(text, ",")
  return first.length === FIELD_COUNT && first.slice(2).every((field) => /^\s*\p{L}/u.test(field))
})

const inQuotes = (field: string): string =>
  `"${field.replaceAll(/\r?\n/g, " ").replaceAll('"', '""')}"`

/** Only a CSV reader is right for fields with commas, quotes and line breaks. */
const csvFilter = (separator: string): string =>
  "python3 -c 'import csv; " +
  'csv.writer(open(1, "w", encoding="utf-8", newline="")).writerows(' +
  '[" ".join(f.splitlines()) for f in r] for r in ' +
  `csv.reader(open(0, encoding="utf-8-sig", newline=""), delimiter="${separator}") if any(r))'`

/** Fields that have this separator, or, if it is a comma, line breaks in quotes. */
const separated =
  (separator: string, shown: string, clause: string): Recognise =>
  (text, { rest }, { hasCommaOrQuote }) => {
    const [first = []] = readRecords(rest, separator)
    if (first.length !== FIELD_COUNT) return undefined
    // Commas separate the fields of a book as well.
    if (separator === "," && !first.some((field) => field.includes("\n"))) return undefined
    const records = readRecords(text, separator)
    const bets = records.filter(({ length }) => length === FIELD_COUNT)
    // An odd line does not make another form of the file.
    if (2 * bets.length <= records.length) return undefined
    return hasCommaOrQuote
      ? {
          clause,
          filter: csvFilter(shown),
          text: records.map((record) => `${record.map(inQuotes)}\n`).join("")
        }
      : { clause, filter: `tr '${shown}' ','`, text: text.replaceAll(separator, ",") }
  }

/** Excel writes an empty row as commas. */
const BLANK_LINE = /^[ \t\v\f\r,]*$/

const blankLines: Recognise = (text, { rest }) => {
  if (!BLANK_LINE.test(rest.split("\n", 1)[0]!)) return undefined
  const lines = text.split("\n").filter((line) => !BLANK_LINE.test(line))
  return {
    clause: "it has blank lines",
    filter: "sed '/^[[:space:],]*$/d'",
    text: lines.join("\n")
  }
}

/** A birthdate with the year at its end, then the number, up to the end of a line. */
const YEAR_LAST = /(\d{1,2})[/-](\d{1,2})[/-](\d{4})("?,[^,\n]*)$/gm

/** The first expression gives each part two digits or three, the second takes the last two. */
const DATE_FILTER =
  `sed -E 's#([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})("?,[^,]*)$#0\\1-0\\2-\\3\\4#; ` +
  `s#0?([0-9]{2})-0?([0-9]{2})-([0-9]{4})("?,[^,]*)$#\\3-\\2-\\1\\4#'`

/** Most countries write the day first. */
const dayFirst: Recognise = (text, { field, rest }) => {
  const [shown] = rest.split("\n", 1)[0]!.match(/\d+[/-]\d+[/-]\d{4}(?="?,)/) ?? []
  if (field !== "birthdate" || shown === undefined) return undefined
  const dates = [...text.matchAll(YEAR_LAST)]
  if (dates.some(([, , month]) => Number(month) > 12)) return undefined
  const verb = dates.some(([, day]) => Number(day) > 12) ? "are" : "seem to be"
  const twoDigits = (digits: string) => digits.padStart(2, "0")
  return {
    clause: `its birthdates ${verb} day, month and year, as in ${shown}`,
    filter: DATE_FILTER,
    text: text.replace(
      YEAR_LAST,
      (_, day, month, year, rest) => `${year}-${twoDigits(month)}-${twoDigits(day)}${rest}`
    )
  }
}

const FORMS: ReadonlyArray<Recognise> = [
  separatorLine,
  separated(";", ";", "its fields are separated by semicolons"),
  separated("\t", "\\t", "its fields are separated by tabs"),
  separated(",", ",", "it has line breaks inside quotes"),
  blankLines,
  header,
  dayFirst
]

const firstBadLine = (text: string, today: string): Bad | undefined => {
  const options = {
    batchSize: 1000,
    maxBatchBytes: 64 * 1024,
    name: "",
    skipBadLines: false,
    today
  }
  const parser = new BookParser(options, (builder) => builder.clear())
  parser.push(Buffer.from(text))
  parser.finish()
  if (parser.failure === undefined) return undefined
  const { field, line } = parser.failure
  const rest = text
    .split("\n")
    .slice(line - 1)
    .join("\n")
  return { field, line, rest }
}

/** Returns the forms of a text in the order of their filters; no form is found twice. */
export const formsOf = (text: string, options: Options, forms = FORMS): ReadonlyArray<Form> => {
  const bad = firstBadLine(text, options.today)
  if (bad === undefined) return []
  for (const recognise of forms) {
    const form = recognise(text, bad, options)
    if (form?.text === undefined) continue
    const others = forms.filter((other) => other !== recognise)
    return [form, ...formsOf(form.text, options, others)]
  }
  return []
}
