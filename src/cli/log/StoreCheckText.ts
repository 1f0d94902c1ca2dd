/** Shows what a check of a store found, as lines of text or as JSON. */
import { type BookCheck, isChanged, type StoreCheck, type Verdict } from "../files/StoreCheck.ts"
import { counted } from "./ProgressText.ts"
import { textTable } from "./TextTable.ts"

const WORDS: Readonly<Record<Verdict, string>> = {
  asSealed: "as sealed",
  asFinished: "as finished",
  noDigest: "no digest stored: finished by an earlier release",
  digestChanged: "unchanged, but its stored digest was changed",
  notSealed: "not in the seal",
  changed: "CHANGED"
}

const verdictText = ({ changedIn, verdict }: BookCheck): string =>
  changedIn === undefined
    ? WORDS[verdict]
    : `${WORDS[verdict]} in bytes ${changedIn.from} to ${changedIn.to}`

/** What the book was when it was finished or sealed, and what it is now. */
const changeLines = (check: BookCheck): ReadonlyArray<string> => {
  const { agency, found, sealed, stored } = check
  if (!isChanged(check)) return []
  const digests = Object.entries({ sealed, finished: stored, found })
  return digests.flatMap(([name, digest]) =>
    digest === undefined
      ? []
      : [`agency ${agency}: ${name} with ${counted(digest.bets, "bet")}, sha256 ${digest.sha256}`]
  )
}

const sealText = ({ seal, sealProblem, vkey }: StoreCheck): string => {
  if (sealProblem !== undefined) return `THE SEAL IS WRONG: ${sealProblem}`
  if (seal === "none") return "not sealed"
  if (vkey === undefined) return "closed for good, without a seal key"
  return seal === "signed" ? `sealed by ${vkey}` : "its seal is not signed yet"
}

const HEADS = ["agency", "bets", "bytes", "book"]
const ALIGNS = ["right", "right", "right", "left"] as const

export const checkLines = (id: string, check: StoreCheck): ReadonlyArray<string> => {
  const { books, unfinished } = check
  const rows = books.map((book) => {
    const { bets, bytes } = book.found
    return [book.agency, bets, bytes, verdictText(book)]
  })
  return [
    `draw ${id}: ${sealText(check)}`,
    `${counted(books.length, "finished book")} read, ${unfinished} not finished`,
    ...(rows.length === 0 ? [] : textTable(HEADS, rows, ALIGNS)),
    ...books.flatMap(changeLines)
  ]
}

const digestJson = (digest: BookCheck["found"] | undefined) =>
  digest === undefined ? null : { bets: digest.bets, bytes: digest.bytes, sha256: digest.sha256 }

/** One JSON object; what is not known is null. */
export const checkJson = (
  id: string,
  { books, seal, sealProblem, unfinished, vkey }: StoreCheck
): string =>
  JSON.stringify({
    draw: id,
    vkey: vkey ?? null,
    seal,
    sealProblem: sealProblem ?? null,
    unfinished,
    books: books.map((check) => ({
      agency: check.agency,
      verdict: check.verdict,
      changed: isChanged(check),
      changedIn: check.changedIn ?? null,
      found: digestJson(check.found),
      stored: digestJson(check.stored),
      sealed: digestJson(check.sealed)
    }))
  })
