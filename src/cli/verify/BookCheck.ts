/** Checks the given books and agencies' own copies (docs/sealed-draw.md, step 6). */
import { Effect } from "effect"
import { today } from "../../client/book/Today.ts"
import type { Agency } from "../../domain/Agency.ts"
import { nameAgencies } from "../../domain/Draw.ts"
import { MARK_BYTES, marksOf } from "../../domain/seal/MarkedDigest.ts"
import { isBook, type Seal, type SealedBook } from "../../domain/seal/Seal.ts"
import { counted } from "../log/ProgressText.ts"
import { type Scanned, scan } from "./BookScan.ts"
import { type Check, forged, note, notProven, proven, wrong } from "./Check.ts"
import * as ForgedBook from "./ForgedBook.ts"
import type { AgencyFile, Given } from "./Given.ts"
import type { NumberFound } from "./NumberCheck.ts"
import * as OwnCopy from "./OwnCopy.ts"

const aboutBook = (agency: Agency): string => `book ${agency}`

/** The agency's sealed book; a check if there is none. */
const sealedBook = ({ agencies, draw }: Seal, { agency, file }: AgencyFile): SealedBook | Check => {
  const entry = agencies.find((one) => one.agency === agency)
  if (entry !== undefined && isBook(entry)) return entry
  const why = entry === undefined ? "does not take part in" : "is excluded from"
  return wrong(aboutBook(agency), `${file}: agency ${agency} ${why} draw ${draw}`, { agency })
}

const isSealed = (scanned: Scanned, sealed: SealedBook): boolean =>
  scanned.bytes === sealed.bytes && scanned.sha256 === sealed.sha256

const describe = ({ bets, bytes, sha256 }: Pick<Scanned, "bets" | "bytes" | "sha256">): string =>
  `${counted(bets, "bet")}, ${counted(bytes, "byte")}, SHA-256 ${sha256}`

const notSealed = (
  about: string,
  { agency, file }: AgencyFile,
  scanned: Scanned,
  sealed: SealedBook
): Check => {
  const has = scanned.bad === undefined ? describe(scanned) : "rows that are not bets"
  const text = `${file} is not the sealed book: it has ${has}; sealed were ${describe(sealed)}`
  return forged(about, text, { agency })
}

/** A check if the file is another agency's sealed book. */
const mixedUp = (
  { agencies }: Seal,
  about: string,
  { agency, file }: AgencyFile,
  scanned: Scanned
): Check | undefined => {
  const other = agencies.filter(isBook).find((one) => one.bytes > 0 && isSealed(scanned, one))
  return (
    other &&
    wrong(about, `${file} is the book of agency ${other.agency}, not ${agency}`, { agency })
  )
}

/** What else the seal says of a book that has its digest. */
const sealProblems = (file: string, scanned: Scanned, sealed: SealedBook): ReadonlyArray<Check> => {
  const { agency } = sealed
  const about = aboutBook(agency)
  const { bad, bets } = scanned
  const marks = marksOf(scanned)
  const mark = marksOf(sealed).findIndex((one, index) => one !== marks[index])
  const to = MARK_BYTES * (mark + 1)
  const piece = { from: to - MARK_BYTES, to }
  const place = ForgedBook.showBytes(piece.from, piece.to)
  return [
    ...(bad === undefined
      ? []
      : [
          forged(about, `${file}: row ${bad.row} of the sealed book is not a bet: ${bad.reason}`, {
            agency,
            bet: bad.row
          })
        ]),
    ...(bad !== undefined || bets === sealed.bets
      ? []
      : [
          forged(about, `${file} has ${counted(bets, "bet")}, the seal says ${sealed.bets}`, {
            agency
          })
        ]),
    ...(mark === -1
      ? []
      : [
          forged(about, `${file}: the sealed mark of ${place} is not that book's`, {
            agency,
            piece
          })
        ])
  ]
}

/** Compares the winners of a sealed book with those of each result. */
const winnersChecks = (
  agency: Agency,
  winners: number | undefined,
  { number, results }: NumberFound
): ReadonlyArray<Check> => {
  const about = aboutBook(agency)
  if (winners === undefined) return []
  const told = results.flatMap(({ name, result }) =>
    result.winners.flatMap((one) =>
      one.agency === agency && result.number === number ? [{ name, count: one.count }] : []
    )
  )
  const has = `${counted(winners, "winner")} with ${number}`
  if (told.length === 0) return [proven(about, has, { agency })]
  return told.map(({ count, name }) =>
    count === winners
      ? proven(about, `${has}, as ${name} says`, { agency })
      : forged(about, `${has}; ${name} says ${count}`, { agency })
  )
}

const checkBook = Effect.fnUntraced(function* (seal: Seal, book: AgencyFile, found: NumberFound) {
  const { agency, file } = book
  const about = aboutBook(agency)
  const sealed = sealedBook(seal, book)
  if ("verdict" in sealed) return [sealed]
  const { number } = found
  const scanned = yield* scan(file, number)
  if (isSealed(scanned, sealed)) {
    const problems = sealProblems(file, scanned, sealed)
    const text = `${file} is the sealed book: ${counted(scanned.bets, "bet")}`
    const own = problems.length > 0 ? problems : [proven(about, text, { agency })]
    return [...own, ...winnersChecks(agency, scanned.winners, found)]
  }
  const other = mixedUp(seal, about, book, scanned)
  if (other !== undefined) return [other]
  const { bad } = scanned
  if (bad?.isCrlf) {
    const crlf = `${file}: its lines end in CRLF, expected LF: export the book again`
    return [wrong(about, crlf, { agency })]
  }
  const located = yield* ForgedBook.locate({ about, bad, file, sealed, number })
  const badRow = bad && [
    forged(about, `row ${bad.row} of ${file} is not a bet: ${bad.reason}`, {
      agency,
      bet: bad.row
    })
  ]
  return [notSealed(about, book, scanned, sealed), ...(badRow ?? []), ...located]
})

const showDifference = (one: Buffer | undefined): string =>
  one === undefined ? "nothing" : ForgedBook.showRow(one)

const checkOwn = Effect.fnUntraced(
  function* (seal: Seal, own: AgencyFile, books: ReadonlyArray<AgencyFile>) {
    const { agency, file } = own
    const about = `own copy ${agency}`
    const sealed = sealedBook(seal, own)
    if ("verdict" in sealed) return [sealed]
    const day = yield* today
    const scanned = yield* OwnCopy.scan(file, day)
    const other = mixedUp(seal, about, own, scanned)
    if (other !== undefined && !isSealed(scanned, sealed)) return [other]
    const { firstBadLine } = scanned
    if (firstBadLine !== undefined && scanned.bets === 0) {
      const text = `${file} has no bets; its first bad line is ${firstBadLine.message}`
      return [wrong(about, text, { agency })]
    }
    const left = `${file}: left out ${counted(scanned.badLines, "bad line")}, as --rejects does`
    const checks: Array<Check> = [
      ...(firstBadLine === undefined
        ? []
        : [note(about, `${left}; the first is ${firstBadLine.message}`, { agency })]),
      isSealed(scanned, sealed)
        ? proven(about, `${file} is the sealed book: ${counted(scanned.bets, "bet")}`, { agency })
        : notSealed(about, own, scanned, sealed)
    ]
    for (const book of books.filter((one) => one.agency === agency)) {
      const found = yield* OwnCopy.compare(file, book.file, day)
      if (found === undefined) continue
      const { bet } = found
      const text =
        `bet ${bet} is the first that differs: ${file} has ${showDifference(found.own)}, ` +
        `${book.file} has ${showDifference(found.given)}`
      checks.push(forged(about, text, { agency, bet, cause: "differs" }))
    }
    return checks
  },
  (effect, _seal, { agency }) =>
    Effect.catchTag(effect, "BadLine", ({ message }) =>
      Effect.succeed([wrong(`own copy ${agency}`, message, { agency })])
    )
)

export const checkBooks = Effect.fn("BookCheck.checkBooks")(function* (
  given: Given,
  seal: Seal,
  found: NumberFound
) {
  const checks: Array<Check> = []
  const comparable: Array<AgencyFile> = []
  for (const book of given.books) {
    const own = yield* checkBook(seal, book, found)
    checks.push(...own)
    if (!own.some(({ verdict }) => verdict === "wrong")) comparable.push(book)
  }
  for (const own of given.own) checks.push(...(yield* checkOwn(seal, own, comparable)))
  const shown = new Set([...given.books, ...given.own].map(({ agency }) => agency))
  const missing = seal.agencies.filter((one) => isBook(one) && !shown.has(one.agency))
  if (missing.length > 0) {
    const names = nameAgencies(missing.map(({ agency }) => agency))
    checks.push(notProven("books", `the bets and winners of ${names} (no book given)`))
  }
  return checks
})
