/** The forms of a file's text: other separators and dates, and lines that are not bets. */
import { FIELD_COUNT, LF } from "../../domain/BetRow.ts"
import type { Form, Sample } from "./BookSample.ts"

const utf8 = new TextDecoder()

const withText = ({ contents }: Sample, text: string): Sample => ({
  bytes: Buffer.from(text),
  contents
})

const withoutFirstLine = ({ bytes, contents }: Sample): Sample => ({
  bytes: bytes.subarray(bytes.indexOf(LF) + 1),
  contents
})

const WITHOUT_FIRST_LINE = "tail -n +2"

const separatorLine: Form = (sample, bad) =>
  bad.line === 1 && /^\ufeff?"?sep=.?"?\r?\n/i.test(bad.text)
    ? {
        clause: "its first line is Excel's sep=",
        filter: WITHOUT_FIRST_LINE,
        sample: withoutFirstLine(sample)
      }
    : undefined

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

const oneLine = (field: string): string => field.split(/\r?\n/).join(" ")
const inQuotes = (field: string): string => `"${field.replaceAll('"', '""')}"`

/** Only a CSV reader is right for fields with commas, quotes and line breaks. */
const csvFilter = (separator: string): string =>
  "python3 -c 'import csv; " +
  'csv.writer(open(1, "w", encoding="utf-8", newline="")).writerows(' +
  '[" ".join(f.splitlines()) for f in r] for r in ' +
  `csv.reader(open(0, encoding="utf-8-sig", newline=""), delimiter="${separator}") if r)'`

const SEPARATORS = [
  { separator: ";", shown: ";", name: "semicolons" },
  { separator: "\t", shown: "\\t", name: "tabs" },
  { separator: ",", shown: ",", name: "" }
] as const

const separated: Form = (sample, bad) => {
  const text = utf8.decode(sample.bytes)
  for (const { name, separator, shown } of SEPARATORS) {
    const [first] = readRecords(bad.text, separator)
    if (first?.length !== FIELD_COUNT) continue
    const records = readRecords(text, separator)
    const bets = records.filter(({ length }) => length === FIELD_COUNT)
    // An odd line does not make another form of the file.
    if (2 * bets.length <= records.length) continue
    const hasBreaks = (separator === "," ? [first] : bets).flat().some((field) => /\n/.test(field))
    if (separator === "," && !hasBreaks) continue
    const isPlain = separator !== "," && !sample.contents.hasCommaOrQuote
    const breaks = hasBreaks ? "it has line breaks inside quotes" : ""
    const clause = [name && `its fields are separated by ${name}`, breaks].filter(Boolean)
    return {
      clause: clause.join(", "),
      filter: isPlain ? `tr '${shown}' ','` : csvFilter(shown),
      sample: withText(
        sample,
        records.map((record) => `${record.map(oneLine).map(inQuotes)}\n`).join("")
      )
    }
  }
  return undefined
}

/** Excel writes an empty row as commas. */
const BLANK_LINE = /^[ \t\v\f\r,]*$/

const blankLines: Form = (sample, bad) => {
  const lines = utf8.decode(sample.bytes).split("\n")
  if (!BLANK_LINE.test(bad.text.split("\n", 1)[0]!)) return undefined
  return {
    clause: "it has blank lines",
    filter: "sed '/^[[:space:],]*$/d'",
    sample: withText(sample, lines.filter((line) => !BLANK_LINE.test(line)).join("\n"))
  }
}

const header: Form = (sample, bad) => {
  const [first = []] = readRecords(bad.text, ",")
  const isHeader = first.slice(2).every((field) => /^\s*\p{L}/u.test(field))
  return bad.line === 1 && first.length === FIELD_COUNT && isHeader
    ? {
        clause: "its first line is a header",
        filter: WITHOUT_FIRST_LINE,
        sample: withoutFirstLine(sample)
      }
    : undefined
}

/** A birthdate with the year at its end, then the number, up to the end of a line. */
const YEAR_LAST = /(\d{1,2})([/-])(\d{1,2})[/-](\d{4})("?,[^,\n]*)$/gm

/** The first expression gives each part two digits or three, the second takes the last two. */
const dateFilter = (order: string): string =>
  `sed -E 's#([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})("?,[^,]*)$#0\\1-0\\2-\\3\\4#; ` +
  `s#0?([0-9]{2})-0?([0-9]{2})-([0-9]{4})("?,[^,]*)$#${order}\\4#'`

const yearLast: Form = (sample, bad) => {
  const text = utf8.decode(sample.bytes)
  const dates = [...text.matchAll(YEAR_LAST)]
  const isAbove12 = (at: number) => dates.some((date) => Number(date[at]) > 12)
  const [date] = bad.field === "birthdate" ? [...bad.text.matchAll(YEAR_LAST)] : []
  const monthFirst = isAbove12(3)
  if (date?.index === undefined || bad.text.slice(0, date.index).includes("\n")) return undefined
  if (monthFirst && isAbove12(1)) return undefined
  const twoDigits = (digits: string) => digits.padStart(2, "0")
  const changed = text.replace(YEAR_LAST, (_, one, _mark, two, year, rest) => {
    const [day, month] = monthFirst ? [two, one] : [one, two]
    return `${year}-${twoDigits(month)}-${twoDigits(day)}${rest}`
  })
  const [, one, mark, two, year] = date
  const parts = monthFirst ? "month, day and year" : "day, month and year"
  // Most countries write the day first.
  const verb = monthFirst || isAbove12(1) ? "are" : "seem to be"
  return {
    clause: `its birthdates ${verb} ${parts}, as in ${[one, two, year].join(mark)}`,
    filter: dateFilter(monthFirst ? "\\3-\\1-\\2" : "\\3-\\2-\\1"),
    sample: withText(sample, changed)
  }
}

export const TEXT_FORMS: ReadonlyArray<Form> = [
  separatorLine,
  separated,
  blankLines,
  header,
  yearLast
]
