/**
 * Goal: a clerk learns what is wrong with a file, and the named command makes a book of it. Method:
 * the built command, on files that other programs make of one book; a shell runs the named command.
 */
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const BOOK = [
  "Ana,Pérez,12345678,1999-03-17,7574",
  "Tiago Nicolás,Rivera,34407251,2001-08-29,1033",
  "Zoë,Núñez,28000002,1985-12-07,42"
]
/** Fields that only a CSV reader understands. */
const QUOTED = '"María, Luz","O""Neill; Paz",28000001,1960-04-09,15'
const text = (...lines: ReadonlyArray<string>) => lines.map((line) => `${line}\r\n`).join("")

interface Case {
  readonly what: string
  /** The file's name, by default `agency-3.csv`. */
  readonly name?: string
  /** Python that makes the file of `text`, or a shell command that makes it of `agency-3.txt`. */
  readonly python?: string
  readonly shell?: string
  /** The lines of the original book; by default those of `BOOK`. */
  readonly lines?: ReadonlyArray<string>
  /** How the error begins, after the file's name. */
  readonly says: string
  readonly command: RegExp
}

/** Writes the records with Python's own module. */
const withModule = (options: string, records = "csv.reader(text.splitlines())"): string =>
  `import csv; csv.writer(open(file, "w", newline="", encoding="utf-8"), ${options})` +
  `.writerows(${records})`
const encoded = (encoding: string, changed = "text"): string =>
  `open(file, "wb").write((${changed}).encode("${encoding}"))`

const SEMICOLONS = "its fields are separated by semicolons"
const DATES = "its birthdates are day, month and year, as in 17"
const ALL = [...BOOK, QUOTED]

const CASES: ReadonlyArray<Case> = [
  {
    what: "semicolons",
    python: encoded("utf-8", 'text.replace(",", ";")'),
    says: SEMICOLONS,
    command: /^tr ';' ','/
  },
  {
    what: "semicolons, with blank lines and Excel's empty rows",
    python: encoded("utf-8", 'text.replace(",", ";").replace("\\r\\n", "\\r\\n\\r\\n;;;;\\r\\n")'),
    says: `${SEMICOLONS} and it has blank lines;`,
    command: /^tr ';' ',' .* \| sed /
  },
  {
    what: "semicolons, and fields with commas, semicolons and quotes",
    python: withModule('delimiter=";"'),
    lines: ALL,
    says: SEMICOLONS,
    command: /^python3 /
  },
  {
    what: "tabs",
    python: encoded("utf-8", 'text.replace(",", "\\t")'),
    says: "its fields are separated by tabs",
    command: /^tr '\\t' ','/
  },
  {
    what: "tabs, and fields with commas and quotes",
    python: withModule('delimiter="\\t"'),
    lines: ALL,
    says: "its fields are separated by tabs",
    command: /^python3 /
  },
  {
    what: "Excel's sep=",
    python: encoded("utf-8", '"sep=,\\r\\n" + text'),
    lines: ALL,
    says: "its first line is Excel's sep=;",
    command: /^tail /
  },
  {
    what: "Excel's sep=; with semicolons and a byte order mark",
    python: encoded("utf-8-sig", '"sep=;\\r\\n" + text.replace(",", ";")'),
    says: "its first line is Excel's sep= and its fields are separated by semicolons;",
    command: /^tail .* \| tr /
  },
  {
    what: "gzip",
    name: "agency-3.csv.gz",
    shell: "gzip -c agency-3.txt > agency-3.csv.gz",
    lines: ALL,
    says: "it is compressed with gzip;",
    command: /^gunzip -c < agency-3\.csv\.gz > agency-3\.book\.csv$/
  },
  {
    what: "zip",
    name: "agency-3.zip",
    shell: "zip -q agency-3.zip agency-3.txt",
    lines: ALL,
    says: "it is a zip archive;",
    command: /^unzip -p agency-3\.zip > agency-3\.book\.csv$/
  },
  ...["LE", "BE"].flatMap(
    (order): ReadonlyArray<Case> => [
      {
        what: `UTF-16 ${order} with a byte order mark`,
        python: encoded(`utf-16-${order}`, '"\\ufeff" + text'),
        lines: ALL,
        says: "it is in UTF-16, not in UTF-8;",
        command: /^iconv -f UTF-16 -t UTF-8 /
      },
      {
        what: `UTF-16 ${order} without one`,
        python: encoded(`utf-16-${order}`),
        lines: ALL,
        says: "it is in UTF-16, not in UTF-8;",
        command: new RegExp(`^iconv -f UTF-16${order} -t UTF-8 `)
      }
    ]
  ),
  {
    what: "Windows-1252",
    python: encoded("cp1252"),
    lines: ALL,
    says: "it is in Windows-1252 (Latin-1), not in UTF-8;",
    command: /^iconv -f WINDOWS-1252 -t UTF-8 /
  },
  {
    what: "a header line",
    python: encoded("utf-8", '"Nombre,Apellido,DNI,Nacimiento,Número\\r\\n" + text'),
    lines: ALL,
    says: "its first line is a header;",
    command: /^tail -n \+2 /
  },
  {
    what: "line breaks inside quotes",
    python: encoded("utf-8", "text.replace('Tiago Nicolás', '\"Tiago\\nNicolás\"')"),
    lines: ALL,
    says: "it has line breaks inside quotes;",
    command: /^python3 /
  },
  {
    what: "dates as 17/03/1999",
    python: encoded("utf-8", 're.sub(r"(\\d+)-(\\d+)-(\\d+)", r"\\3/\\2/\\1", text)'),
    lines: ALL,
    says: `${DATES}/03/1999;`,
    command: /^sed -E /
  },
  {
    what: "dates as 17-03-1999",
    python: encoded("utf-8", 're.sub(r"(\\d+)-(\\d+)-(\\d+)", r"\\3-\\2-\\1", text)'),
    lines: ALL,
    says: `${DATES}-03-1999;`,
    command: /^sed -E /
  },
  {
    what: "dates as 17/3/1999",
    python: encoded("utf-8", 're.sub(r"(\\d+)-0?(\\d+)-0?(\\d+)", r"\\3/\\2/\\1", text)'),
    lines: ALL,
    says: `${DATES}/3/1999;`,
    command: /^sed -E /
  },
  {
    what: "blank lines in the middle",
    python: encoded("utf-8", 'text.replace("\\r\\n", "\\r\\n\\r\\n \\n,,,,\\r\\n")'),
    lines: ALL,
    says: "it has blank lines;",
    command: /^sed /
  },
  {
    what: "all that Excel's Unicode text has",
    name: "agency 3's.txt",
    python: encoded(
      "utf-16",
      '"A\\tB\\tC\\tD\\tE\\n" + re.sub(r"(\\d+)-0?(\\d+)-0?(\\d+)", r"\\3/\\2/\\1", ' +
        'text.replace(",", "\\t"))'
    ),
    says: "it is in UTF-16, not in UTF-8, its fields are separated by tabs, its first line is a ",
    command: /^iconv .* < 'agency 3'\\''s.txt' \| tr .* \| tail .* \| sed .* > 'agency 3'\\''s.book/
  }
]

const PROGRAMS = ["python3", "gzip", "zip", "unzip", "iconv"]
const isThere = (program: string) => spawnSync(program, ["--version"]).error === undefined
const missing = PROGRAMS.filter((program) => !isThere(program))
if (missing.length > 0) console.warn(`skipped: there is no ${missing.join(", ")}`)

const run = (folder: string, program: string, ...args: ReadonlyArray<string>): void => {
  const { status, stderr } = spawnSync(program, args, { cwd: folder, encoding: "utf8" })
  expect(status, stderr).toBe(0)
}

/** Makes the file of a case and returns its name. */
const make = (folder: string, { lines = BOOK, name = "agency-3.csv", python, shell }: Case) => {
  writeFileSync(join(folder, "agency-3.txt"), text(...lines))
  if (shell !== undefined) run(folder, "sh", "-c", shell)
  const script = [
    "import re",
    `file = ${JSON.stringify(name)}`,
    'text = open("agency-3.txt", newline="", encoding="utf-8").read()',
    python
  ].join("\n")
  if (python !== undefined) run(folder, "python3", "-c", script)
  return name
}

const check = (folder: string, ...args: ReadonlyArray<string>) =>
  runLottery({ args: ["check", ...args], cwd: folder })

describe.skipIf(missing.length > 0)("the named command makes a book of", () => {
  for (const one of CASES) {
    it.live(one.what, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const name = make(folder, one)
        const { code, stderr, stdout } = yield* check(folder, name)
        expect({ code, stderr }).toEqual({ code: 1, stderr: "" })
        const [said = "", ...others] = stdout.split("\n")
        expect(said).toMatch(/: [^:]+; convert it with: /)
        expect(said.replace(/^[^:]+:(?:\d+:)? /, "").startsWith(one.says), said).toBe(true)
        const command = said.slice(said.indexOf("convert it with: ") + "convert it with: ".length)
        expect(command).toMatch(one.command)
        expect(others.join("\n")).toMatch(/: bets: \d+; errors: [1-9]\d*; /)

        run(folder, "sh", "-c", command)
        const made = command.slice(command.lastIndexOf(" > ") + 3)
        const book = made.startsWith("'") ? "agency 3's.book.csv" : made
        const good = yield* check(folder, book)
        const { length } = one.lines ?? BOOK
        expect(good.stdout).toContain(`${book}: bets: ${length}; errors: 0; `)
        expect(good.code).toBe(0)
        // A line break in a field becomes a space; otherwise the bets are the same.
        const bets = readFileSync(join(folder, book), "utf8").replaceAll("\r\n", "\n")
        expect(bets.replace(/^\ufeff/, "")).toBe(text(...(one.lines ?? BOOK)).replaceAll("\r", ""))

        const args = ["client", "--agency", "3", "--bets", name, "--server", "127.0.0.1:1"]
        const client = yield* runLottery({ args, cwd: folder })
        expect(client.code).toBe(1)
        const isOne = !command.includes("|")
        expect(client.stderr).toContain(
          isOne ? `CRITICAL ${said}\n` : `; lottery check ${name.includes(" ") ? "'" : name}`
        )
      })
    )
  }
})

const GOOD = text(...ALL)

describe("lottery check", () => {
  it.live.skipIf(missing.length > 0)("does not join the files of a zip archive", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const name of ["agency-3.csv", "agency-4.csv"]) writeFileSync(join(folder, name), GOOD)
      run(folder, "zip", "-q", "books.zip", "agency-3.csv", "agency-4.csv")
      const { code, stdout } = yield* check(folder, "books.zip")
      expect(code).toBe(1)
      expect(stdout).toContain(
        "books.zip: it is a zip archive of 2 files; unpack it with unzip, and check each book\n"
      )
    })
  )

  it.live("reports each book, and fails if one of them is bad", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "good.csv"), GOOD + text(BOOK[0]!, BOOK[1]!.replace("T", "t")))
      writeFileSync(join(folder, "bad.csv"), `${GOOD}Ana,Paz,x,1999-02-30,7\nAna,Paz,1,1999,7\n`)
      writeFileSync(join(folder, "empty.csv"), "")
      const both = yield* check(folder, "good.csv", "none.csv", "bad.csv", "empty.csv")
      expect(both).toMatchObject({ code: 1, stderr: "" })
      const date = "expected a real date YYYY-MM-DD from 1900-01-01 to 9999-12-31"
      expect(both.stdout.split("\n")).toEqual([
        "good.csv: bets: 6; errors: 0; equal rows: 1; same document and number: 2",
        "none.csv: no such file or folder",
        'bad.csv:5: document: expected 1 to 10 digits, got "x"',
        `bad.csv:6: birthdate: ${date}, got "1999"`,
        "bad.csv: bets: 4; errors: 2; equal rows: 0; same document and number: 0",
        "empty.csv: no bets; the client sends it only with --allow-empty",
        "empty.csv: bets: 0; errors: 0; equal rows: 0; same document and number: 0",
        ""
      ])
      const one = yield* check(folder, "good.csv", "empty.csv")
      expect(one.code).toBe(0)
    })
  )

  it.live("prints at most --max-errors errors, and the number of the others", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "bad.csv"), `${GOOD}${"x\n".repeat(30)}`)
      const linesOf = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
        return (yield* check(folder, "bad.csv", ...args)).stdout.trimEnd().split("\n")
      })
      const usual = yield* linesOf()
      expect(usual).toHaveLength(22)
      expect(usual[19]).toBe("bad.csv:24: line: expected 5 fields separated by commas, got 1")
      expect(usual[20]).toBe("bad.csv: and 10 more errors")
      expect(yield* linesOf("--max-errors", "29")).toContain("bad.csv: and 1 more error")
      expect(yield* linesOf("--max-errors", "30")).toHaveLength(31)
      expect(yield* linesOf("--max-errors", "0")).toEqual([
        "bad.csv: and 30 more errors",
        "bad.csv: bets: 4; errors: 30; equal rows: 0; same document and number: 0"
      ])
    })
  )

  it.live("says that a book may have been cut off", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "b.csv"), GOOD.trimEnd())
      const { code, stdout } = yield* check(folder, "b.csv")
      expect(code).toBe(0)
      expect(stdout.split("\n")[0]).toBe(
        `b.csv:4: no line ending; the file may have been cut off after: ${QUOTED}`
      )
    })
  )

  it.live("reads standard input, once", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const input = join(folder, "b.csv")
      writeFileSync(input, GOOD)
      const under = ["sh", "-c", `exec "$@" < ${input}`, "sh"]
      const { code, stdout } = yield* runLottery({ args: ["check", "-"], under })
      expect(stdout).toMatch(/^standard input: bets: 4; errors: 0; /)
      expect(code).toBe(0)
      const twice = yield* runLottery({ args: ["check", "-", "-"], under })
      expect(twice.code).toBe(2)
      expect(twice.stderr).toContain("expected - once")
      expect((yield* runLottery({ args: ["check"] })).code).toBe(2)
    })
  )

  it.live("escapes what a file could make a terminal do", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "b.csv"), "Ana,Paz,\u009b1,1999-01-01,7\n")
      const { stdout } = yield* check(folder, "b.csv")
      expect(stdout).toMatch(/^b\.csv:1: document: .*\\u009b1"\n/)
    })
  )
})

describe("a client with --rejects", () => {
  it.live("warns of what the file is when it refuses the book", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const semicolons = text(...BOOK).replaceAll(",", ";")
      writeFileSync(join(folder, "b.csv"), semicolons)
      for (const more of [[], ["--max-rejects", "1"]]) {
        const given = ["--bets", "b.csv", "--rejects", "r.csv", "--server", "127.0.0.1:1", ...more]
        const args = ["client", "--agency", "3", ...given]
        const { code, stderr } = yield* runLottery({ args, cwd: folder })
        expect(code).toBe(1)
        expect(stderr).toMatch(
          / WARNING +b\.csv: its fields are separated by semicolons; convert it /
        )
      }
    })
  )
})
