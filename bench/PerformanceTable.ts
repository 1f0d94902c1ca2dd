/** The one table of all figures, as plain text and as Markdown. */

/** What a figure is to reach, and whether it did. */
export interface Bar {
  readonly text: string
  readonly isMet: boolean
}

export interface Line {
  readonly what: string
  readonly measured: string
  /** What it is compared with, measured in turns with it. */
  readonly beside?: string | undefined
  /** Measured to beside. */
  readonly ratio?: number | undefined
  readonly bar?: Bar | undefined
}

export interface Section {
  readonly title: string
  readonly lines: ReadonlyArray<Line>
}

/** A ratio that is to be so much or more. */
export const atLeast = (ratio: number, least: number): Bar => ({
  text: `${least} or more`,
  isMet: ratio >= least
})

/** A figure that is to be so much or less. */
export const atMost = (value: number, most: number, unit = ""): Bar => ({
  text: `${most}${unit} or less`,
  isMet: value <= most
})

/** With as many digits as anybody can rely on. */
export const shown = (value: number): string =>
  Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 })

export const rate = (betsASecond: number): string => `${shown(betsASecond)} bets/s`

/** In MB of a million bytes. */
export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`

/** Memory that is to be so many MB or less. */
export const atMostMegabytes = (bytes: number, most: number): Bar =>
  atMost(bytes / 1e6, most, " MB")

const HEADINGS = ["what", "measured", "beside it", "ratio", "bar"] as const

const barOf = ({ bar }: Line): string =>
  bar === undefined ? "" : `${bar.text}: ${bar.isMet ? "met" : "NOT MET"}`

const cellsOf = (line: Line): ReadonlyArray<string> => [
  line.what,
  line.measured,
  line.beside ?? "",
  line.ratio === undefined ? "" : shown(line.ratio),
  barOf(line)
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

export const toMarkdown = (sections: ReadonlyArray<Section>): string =>
  [
    markdownRow(HEADINGS),
    "|---|---|---|---:|---|",
    ...sections.flatMap(({ lines, title }) => [
      markdownRow([`**${title}**`, "", "", "", ""]),
      ...lines.map((line) => markdownRow(cellsOf(line)))
    ])
  ].join("\n")

const BEGIN = "<!-- figures -->"
const END = "<!-- end of figures -->"

/** The document with other figures; what is written around them stays. */
export const withFigures = (document: string, figures: string): string => {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)]
  if (begin === -1 || end < begin) throw new Error(`expected ${BEGIN} and ${END}`)
  return `${document.slice(0, begin)}${BEGIN}\n\n${figures}\n\n${document.slice(end)}`
}
