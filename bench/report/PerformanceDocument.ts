/**
 * docs/performance.md: the chart and the table of each section stand between comments with its
 * name. A run replaces those of the sections that it measured and keeps everything else.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { toMermaid } from "./Chart.ts"
import { type Section, toMarkdown } from "./PerformanceTable.ts"

const FILE = join(import.meta.dirname, "..", "..", "docs", "performance.md")

/** Replaces what stands between `<!-- KIND: NAME -->` and the next `<!-- end -->`. */
const replaced = (document: string, kind: string, name: string, text: string): string => {
  const begin = `<!-- ${kind}: ${name} -->`
  const start = document.indexOf(begin)
  const end = document.indexOf("<!-- end -->", start)
  if (start === -1 || end === -1) throw new Error(`${FILE}: expected ${begin} and <!-- end -->`)
  return `${document.slice(0, start)}${begin}\n\n${text}\n\n${document.slice(end)}`
}

/** Writes the figures of sections, with a line about the machine under each table. */
export const write = (sections: Readonly<Record<string, Section>>, about: string): void => {
  let document = readFileSync(FILE, "utf8")
  for (const [name, section] of Object.entries(sections)) {
    const figures = `${section.title}:\n\n${toMarkdown(section)}\n\n${about}`
    document = replaced(document, "figures", name, figures)
    if (section.chart !== undefined) {
      document = replaced(document, "chart", name, toMermaid(section.chart))
    }
  }
  writeFileSync(FILE, document)
}
