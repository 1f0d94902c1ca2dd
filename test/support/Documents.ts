/** The project's documents: their headings, their links and their shell blocks. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

export const ROOT = join(import.meta.dirname, "..", "..")

const inFolder = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(ROOT, folder))
    .filter((file) => file.endsWith(".md"))
    .map((file) => join(folder, file))

/** The path of every document, from the project's root. */
export const DOCUMENTS = [...inFolder("."), ...inFolder("docs")]

export const textOf = (document: string): string => readFileSync(join(ROOT, document), "utf8")

const FENCE = /^```[\s\S]*?^```$/gm

/** The text of a document's headings. */
export const headingsOf = (document: string): ReadonlyArray<string> =>
  [
    ...textOf(document)
      .replace(FENCE, "")
      .matchAll(/^#+ (.+)$/gm)
  ].map(([, heading]) => heading!)

/** The rows of the first table below a heading, without its head: the cells of each. */
export const rowsOf = (document: string, heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const [, below = ""] = textOf(document).split(`\n## ${heading}\n`)
  const [table = ""] = /(?:^\|.*\|\n)+/m.exec(below) ?? []
  return table
    .trim()
    .split("\n")
    .slice(2)
    .map((row) =>
      row
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
}

/** The words of a cell that are set as code. */
export const codeOf = (cell: string): ReadonlyArray<string> =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)

/** The part of a link after `#` that leads to a heading, as GitHub makes it. */
export const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-")

/** The targets of a document's links that are not on the web. */
export const linksOf = (document: string): ReadonlyArray<string> =>
  [
    ...textOf(document)
      .replace(FENCE, "")
      .matchAll(/\]\(([^)\s]+)\)/g)
  ]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target))

/** A shell block; `untested` says why the tests do not run it. */
export interface ShellBlock {
  readonly code: string
  readonly untested: string | undefined
}

const SHELL_BLOCK = /(?:^<!-- not tested: (.+) -->\n)?^```sh\n([\s\S]*?)^```$/gm

export const shellBlocksOf = (document: string): ReadonlyArray<ShellBlock> =>
  [...textOf(document).matchAll(SHELL_BLOCK)].map(([, untested, code]) => ({
    code: code!,
    untested
  }))
