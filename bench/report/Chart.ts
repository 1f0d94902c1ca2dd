/** Charts for Markdown, drawn by Mermaid's `xychart`, as GitHub shows them. */

export interface Chart {
  readonly title: string
  /** Bars are horizontal, with room for long labels; lines need several categories in order. */
  readonly kind: "bar" | "line"
  /** What the categories are; undefined if they name themselves. */
  readonly category?: string
  readonly categories: ReadonlyArray<string>
  /** What the values are, with their unit. */
  readonly value: string
  /** One value per category. */
  readonly series: Readonly<Record<string, ReadonlyArray<number>>>
}

/** Readable on a light and on a dark page. */
const COLOURS = "#3b82d6, #e08a2c, #3f9e63"
const HEIGHT = { bar: 280, line: 340 }

const quoted = (text: string): string => `"${text.replaceAll('"', "'")}"`
const quotedList = (texts: ReadonlyArray<string>): string => texts.map(quoted).join(", ")

/** Returns the first of 1, 2, 3, 4, 5, 6, 8, 10 times a power of ten that is not below `value`. */
const roundedUp = (value: number): number => {
  const unit = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 3, 4, 5, 6, 8, 10].map((times) => times * unit).find((round) => round >= value)!
}

export const toMermaid = ({ categories, category, kind, series, title, value }: Chart): string => {
  const top = roundedUp(Math.max(...Object.values(series).flat()))
  // A name gets a place in the legend, which one series does not need.
  const all = Object.entries(series)
  const axis = category === undefined ? "" : `${quoted(category)} `
  return [
    "```mermaid",
    "---",
    "config:",
    "  xyChart:",
    "    width: 800",
    `    height: ${HEIGHT[kind]}`,
    "    showDataLabel: true",
    "  themeVariables:",
    "    xyChart:",
    `      plotColorPalette: "${COLOURS}"`,
    "---",
    `xychart-beta${kind === "bar" ? " horizontal" : ""}`,
    `  title ${quoted(title)}`,
    `  x-axis ${axis}[${quotedList(categories)}]`,
    `  y-axis ${quoted(value)} 0 --> ${top}`,
    ...all.map(
      ([name, values]) => `  ${kind}${all.length > 1 ? ` ${quoted(name)}` : ""} [${values}]`
    ),
    "```"
  ].join("\n")
}
