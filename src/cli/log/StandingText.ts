/** Shows how far a draw has got as lines of text. */
import { nameAgencies, showTime } from "../../domain/Draw.ts"
import {
  type AgencyStanding,
  type DrawStanding,
  isAwaited
} from "../../server/operator/DrawStanding.ts"
import { clockText, counted } from "./ProgressText.ts"
import { textTable, widthOf } from "./TextTable.ts"

/** Stands for what is not known. */
const UNKNOWN = "–"

const orUnknown = (text: string | number | null): string | number => text ?? UNKNOWN

const HOUR_SECONDS = 60 * 60
const DAY_SECONDS = 24 * HOUR_SECONDS

/** `1:02:03`, or `2 d 15 h`. */
const daysText = (seconds: number): string => {
  if (seconds < DAY_SECONDS) return clockText(seconds)
  const hours = Math.floor((seconds % DAY_SECONDS) / HOUR_SECONDS)
  return `${Math.floor(seconds / DAY_SECONDS)} d ${hours} h`
}

const ageText = (at: number, millis: number | null): string | null => {
  if (millis === null) return null
  const seconds = Math.max(0, Math.round((at - millis) / 1000))
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < DAY_SECONDS) return `${clockText(seconds)} ago`
  return `${Math.floor(seconds / DAY_SECONDS)} d ago`
}

const percentText = ({ bets, bookBets }: Pick<AgencyStanding, "bets" | "bookBets">) => {
  if (bookBets === null) return null
  // Only a complete book is at 100%.
  const percent = bookBets === 0 ? 100 : Math.floor((100 * bets) / bookBets)
  return `${Math.min(100, percent)}%`
}

const rateText = (perSecond: number | null): string | null =>
  perSecond === null ? null : String(Math.round(perSecond))

/** `closes at 2026-12-02T00:00:00Z`, `in 1:00:00`; or `past` if the time has come. */
const countdown = (what: string, at: number, time: number, past: string): ReadonlyArray<string> => {
  const seconds = Math.ceil((time - at) / 1000)
  return seconds > 0 ? [`${what} ${showTime(time)}`, `in ${daysText(seconds)}`] : [past]
}

type OpenedDraw = NonNullable<DrawStanding["draw"]>

const numberText = ({ round, winningNumber }: OpenedDraw): string => {
  if (winningNumber !== null) return `winning number ${winningNumber}`
  return round === null ? "winning number not known yet" : `winning number of drand round ${round}`
}

const hasRound = (draw: OpenedDraw): draw is OpenedDraw & { round: number; roundAt: number } =>
  draw.round !== null && draw.roundAt !== null

/** What the draw waits for, with the countdown as a piece of its own. */
const waitingPieces = (draw: OpenedDraw, at: number): ReadonlyArray<string> => {
  if (!hasRound(draw)) return ["waiting for the number"]
  const { round, roundAt } = draw
  const waiting = `waiting for round ${round}`
  return countdown(`${waiting} until`, at, roundAt, `${waiting}, due since ${showTime(roundAt)}`)
}

/** The phase in pieces, with what the draw waits for. */
const phasePieces = (draw: OpenedDraw, at: number): ReadonlyArray<string> => {
  const { closesAt, phase } = draw
  switch (phase) {
    case "taking bets": {
      if (closesAt === null) return [phase]
      return [...countdown("closes at", at, closesAt, "closes once a book is finished"), phase]
    }
    case "sealed":
      return [phase, ...waitingPieces(draw, at)]
    case "waiting for the number":
      return waitingPieces(draw, at)
    case "missed": {
      if (!hasRound(draw)) return [phase]
      const { round, roundAt } = draw
      const published = `round ${round}, published at ${showTime(roundAt)}`
      return [`missed: the books were not closed before ${published}`]
    }
    default:
      return [phase]
  }
}

/** `draw default: agencies 1, 2, winning number 7574, taking bets`, in pieces. */
const drawPieces = (id: string, { draw }: DrawStanding, at: number): ReadonlyArray<string> => {
  if (draw === null) return [`draw ${id}: not opened yet`]
  return [`draw ${id}: ${nameAgencies(draw.agencies)}`, numberText(draw), ...phasePieces(draw, at)]
}

/** `total: 1230 bets, 30%, 1500/s`, in pieces, without what is not known. */
const totalPieces = ({ draw, total }: DrawStanding, at: number): ReadonlyArray<string> => {
  const { agencies, connections, excluded, finished, told } = total
  const percent = percentText(total)
  const rate = rateText(total.perSecond)
  const age = ageText(at, total.lastActivity)
  const isTakingBets = draw?.phase === "taking bets"
  return [
    `total: ${counted(total.bets, "bet")}`,
    ...(percent === null ? [] : [percent]),
    ...(rate === null || !isTakingBets ? [] : [`${rate}/s`]),
    ...(draw === null ? [] : [`${finished} of ${agencies - excluded} agencies finished`]),
    ...(excluded === 0 ? [] : [`${excluded} excluded`]),
    ...(told === 0 ? [] : [`winners sent to ${told}`]),
    ...(connections === null ? [] : [counted(connections, "connection")]),
    ...(age === null ? [] : [`last activity ${age}`])
  ]
}

/** Joins pieces into as few lines as the width allows. A longer piece is split between words. */
const flow = (
  pieces: ReadonlyArray<string>,
  width: number,
  separator = ", "
): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const fitting = pieces.flatMap((piece) => {
    const words = piece.split(" ")
    return words.length === 1 || widthOf(piece) <= width ? [piece] : flow(words, width, " ")
  })
  for (const piece of fitting) {
    const joined = lines.at(-1) + separator + piece
    if (lines.length > 0 && widthOf(joined) <= width) lines[lines.length - 1] = joined
    else lines.push(piece)
  }
  return lines
}

interface Column {
  readonly head: string
  readonly cell: (row: AgencyStanding, at: number) => string | number | null
}

const agency: Column = { head: "agency", cell: (row) => row.agency }
const bets: Column = { head: "bets", cell: (row) => row.bets }
const percent: Column = { head: "%", cell: (row) => (row.excluded ? null : percentText(row)) }
const rate: Column = { head: "bets/s", cell: (row) => rateText(row.perSecond) }
const last: Column = { head: "last activity", cell: (row, at) => ageText(at, row.lastActivity) }
const state: Column = { head: "state", cell: (row) => row.state }
/** The columns to show, the first that fit. */
const LAYOUTS: ReadonlyArray<ReadonlyArray<Column>> = [
  [agency, bets, percent, rate, last, state],
  [agency, bets, percent, rate, state],
  [agency, bets, percent, state],
  [agency, bets, state]
]

const tableOf = (
  rows: ReadonlyArray<AgencyStanding>,
  at: number,
  width: number
): ReadonlyArray<string> => {
  let lines: ReadonlyArray<string> = []
  if (rows.length === 0) return lines
  for (const columns of LAYOUTS) {
    lines = textTable(
      columns.map(({ head }) => head),
      rows.map((row) => columns.map(({ cell }) => orUnknown(cell(row, at))))
    )
    if (lines.every((line) => widthOf(line) <= width)) break
  }
  return lines
}

/** `… and 4980 more: 3000 sending, 1980 away`. */
const restText = (rows: ReadonlyArray<AgencyStanding>): string => {
  const byState = Map.groupBy(rows, (row) => row.state ?? "unfinished")
  const named = Array.from(byState, ([name, own]) => `${own.length} ${name}`)
  return `… and ${rows.length} more: ${named.join(", ")}`
}

interface Shown {
  /** The id of the draw, which a standing has only if the draw is opened. */
  readonly id: string
  /** The time that ages and the countdown are for. */
  readonly at: number
  readonly width: number
  readonly height: number
  /** A line below the total. */
  readonly note?: string | undefined
}

/** Everything in one line each, with all agencies in ascending order. */
export const WHOLE = { width: Number.POSITIVE_INFINITY, height: Number.POSITIVE_INFINITY }

/** Unfinished agencies come first, and of these the ones that are sending. */
const rankOf = (row: AgencyStanding): number =>
  isAwaited(row) ? (row.state === "sending" ? 0 : 1) : row.state === "finished" ? 2 : 3

/**
 * The draw, a total, and the agencies in ascending order. If the height does not allow all of them,
 * unfinished ones are first and the last line counts the rest.
 */
export const standingLines = (
  standing: DrawStanding,
  { at, height, id, note, width }: Shown
): ReadonlyArray<string> => {
  const top = [
    ...flow(drawPieces(id, standing, at), width),
    ...flow(totalPieces(standing, at), width),
    ...(note === undefined ? [] : flow(note.split(" "), width, " "))
  ]
  const { agencies } = standing
  const room = height - top.length - 1
  if (agencies.length <= room) return [...top, ...tableOf(agencies, at, width)]
  const rows = agencies.toSorted((one, other) => rankOf(one) - rankOf(other))
  const shown = Math.max(0, room - 1)
  return [...top, ...tableOf(rows.slice(0, shown), at, width), restText(rows.slice(shown))]
}

/** A line for each of several draws. */
export const drawTable = (
  draws: ReadonlyArray<{ readonly id: string; readonly standing: DrawStanding }>
): ReadonlyArray<string> => {
  const heads = [
    "draw",
    "bets",
    "agencies",
    "finished",
    "excluded",
    "winners sent",
    "number",
    "phase"
  ]
  const rows = draws.map(({ id, standing: { draw, total } }) => [
    id,
    total.bets,
    ...(draw === null
      ? [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, "not opened yet"]
      : [
          total.agencies,
          total.finished,
          total.excluded,
          total.told,
          draw.winningNumber ?? (draw.round === null ? UNKNOWN : `round ${draw.round}`),
          draw.phase
        ])
  ])
  return textTable(heads, rows, ["left"])
}
