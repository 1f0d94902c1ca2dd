/** The figures of the sections, as one table in plain text and as a table each in Markdown. */
import type { Chart } from "./Chart.ts"

export interface Target {
  readonly text: string
  readonly isMet: boolean
}

export interface Line {
  readonly what: string
  readonly measured: string
  /** The figure that was measured alternately with it. */
  readonly comparedWith?: string | undefined
  /** `measured` divided by `comparedWith`. */
  readonly ratio?: number | undefined
  readonly target?: Target | undefined
}

export interface Section {
  readonly title: string
  readonly lines: ReadonlyArray<Line>
  readonly chart?: Chart | undefined
}

export const atLeast = (ratio: number, minimum: number): Target => ({
  text: `${minimum} or more`,
  isMet: ratio >= minimum
})

export const atMost = (value: number, maximum: number, unit = ""): Target => ({
  text: `${maximum}${unit} or less`,
  isMet: value <= maximum
})

export const shown = (value: number): string =>
  Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 })

export const rate = (betsPerSecond: number): string => `${shown(betsPerSecond)} bets/s`

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`

export const atMostMegabytes = (bytes: number, maximum: number): Target =>
  atMost(bytes / 1e6, maximum, " MB")

const HEADINGS = ["what", "measured", "compared with", "ratio", "target"] as const

const targetOf = ({ target }: Line): string =>
  target === undefined ? "" : `${target.text}: ${target.isMet ? "met" : "NOT MET"}`

const cellsOf = (line: Line): ReadonlyArray<string> => [
  line.what,
  line.measured,
  line.comparedWith ?? "",
  line.ratio === undefined ? "" : shown(line.ratio),
  targetOf(line)
]

export const toText = (sections: ReadonlyArray<Section>): string => {
  const rows = sections.flatMap(({ lines, title }) => [
    [""],
    [title.toUpperCase()],
    ...lines.map(cellsOf)
  ])
  const all = [HEADINGS, ...rows]
  const widths = HEADINGS.map((_, column) =>
    Math.max(...all.filter(({ length }) => length > 1).map((cells) => cells[column]!.length))
  )
  return all
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

const markdownRow = (cells: ReadonlyArray<string>): string =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`

export const toMarkdown = ({ lines }: Section): string =>
  [
    markdownRow(HEADINGS),
    "|---|---|---|---:|---|",
    ...lines.map((line) => markdownRow(cellsOf(line)))
  ].join("\n")
