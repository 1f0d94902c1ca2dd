/**
 * Goal: a file's form is recognised if there is no doubt, and not otherwise: the command for a
 * wrong guess would ruin names. Method: real files, as the client and `lottery check` read them.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as BookFile from "../../../src/client/book/BookFile.ts"
import * as NotABook from "../../../src/client/book/NotABook.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const OPTIONS = { name: "agency-3.csv", batchSize: 1000, maxBatchBytes: 8192, today: "2024-02-29" }
const GOOD = "Ana,Pérez,01234567,1999-03-17,7574\n"
const ASCII = "Ana,Perez,01234567,1999-03-17,7574\n"
/** More than what is looked at of the beginning of a file. */
const LONG = 10_000

const recognise = Effect.fnUntraced(function* (
  content: string | Uint8Array,
  name = "agency-3.csv",
  isStandardInput = false
) {
  const file = join(yield* temporaryFolder, name)
  writeFileSync(file, content)
  const bad = yield* Effect.flip(BookFile.open(file, OPTIONS))
  const line = bad._tag === "BadLine" ? bad.line : 0
  const options = { name, today: OPTIONS.today, isStandardInput }
  const found = yield* NotABook.recognise(file, options, line)
  return found && { text: found.text.replaceAll(file.slice(0, -name.length), ""), found }
})

const textOf = (content: string | Uint8Array, name?: string) =>
  Effect.map(recognise(content, name), (found) => found?.text)

const latin1 = (text: string) => Buffer.from(text, "latin1")

layer(NodeServices.layer)("a file is not converted", (it) => {
  const cases: Record<string, string | Uint8Array> = {
    "because of one line with semicolons": `${GOOD}${ASCII.replaceAll(",", ";")}${GOOD}${GOOD}`,
    "if it is partly in UTF-8": Buffer.concat([Buffer.from(GOOD), latin1(GOOD)]),
    // In Windows-1252 the bytes of this ú are letters too.
    "if a later part is in UTF-8": Buffer.concat([
      latin1(GOOD),
      Buffer.from(ASCII.repeat(LONG) + GOOD.replace("Pérez", "Raúl"))
    ]),
    "if it may be in another encoding of one byte": Buffer.from([
      ...Buffer.from("Jos"),
      0x82,
      ...Buffer.from(ASCII)
    ]),
    "if the month comes first in a date":
      ASCII.replace("1999-03-17", "03/04/1999") + ASCII.replace("1999-03-17", "3/17/1999"),
    "if its dates contradict each other":
      ASCII.replace("1999-03-17", "17/03/1999") + ASCII.replace("1999-03-17", "03/17/1999"),
    "if a year has two digits": ASCII.replace("1999-03-17", "17/03/99"),
    "if its first line is a bad bet": ASCII.replace("01234567", "1234567a"),
    "if it is damaged": Buffer.alloc(5000),
    "if it is one zero byte": Buffer.alloc(1)
  }
  for (const [what, content] of Object.entries(cases)) {
    it.effect(what, () =>
      Effect.gen(function* () {
        expect(yield* textOf(content)).toBeUndefined()
      })
    )
  }
})

layer(NodeServices.layer)("a form is recognised", (it) => {
  describe("far from the beginning", () => {
    const late: Record<string, readonly [content: string | Uint8Array, says: string]> = {
      "Windows-1252": [
        Buffer.concat([Buffer.from(ASCII.repeat(LONG)), latin1(GOOD)]),
        "it is in Windows-1252 (Latin-1), not in UTF-8; "
      ],
      "a date": [
        GOOD.repeat(LONG) + GOOD.replace("1999-03-17", "17/3/1999"),
        "its birthdates are day, month and year, as in 17/3/1999; "
      ],
      "an empty line": [`${GOOD.repeat(LONG)}\r\n${GOOD}`, "it has blank lines; "]
    }
    for (const [what, [content, says]] of Object.entries(late)) {
      it.effect(what, () =>
        Effect.gen(function* () {
          expect(yield* textOf(content)).toContain(`agency-3.csv:${LONG + 1}: ${says}`)
        })
      )
    }

    it.effect("a comma makes another command right for all semicolons", () =>
      Effect.gen(function* () {
        const plain = ASCII.replaceAll(",", ";").repeat(LONG)
        expect(yield* textOf(plain)).toContain(": tr ';' ',' < ")
        const withComma = plain + ASCII.replaceAll(",", ";").replace("Ana", "Ana, Luz")
        expect(yield* textOf(withComma)).toContain(": python3 ")
      })
    )
  })

  it.effect("if a date may be either, with a doubt", () =>
    Effect.gen(function* () {
      expect(yield* textOf(ASCII.replace("1999-03-17", "03/04/1999"))).toContain(
        ": its birthdates seem to be day, month and year, as in 03/04/1999; "
      )
    })
  )

  it.effect("as a spreadsheet, whose cure is not a command", () =>
    Effect.gen(function* () {
      const zip = Buffer.alloc(200)
      zip.set(Buffer.from("PK\x03\x04"))
      zip.set(Buffer.from("[Content_Types].xml"), 30)
      const cure = "open it in Excel or LibreOffice and save it as CSV, in UTF-8"
      const said = `agency-3.xlsx: it is a spreadsheet; ${cure}`
      expect(yield* textOf(zip, "agency-3.xlsx")).toBe(said)
      const old = Buffer.concat([Buffer.from("d0cf11e0a1b11ae1", "hex"), Buffer.alloc(100)])
      expect(yield* textOf(old, "agency-3.xls")).toContain("it is a spreadsheet; open it")
    })
  )

  it.effect("as damaged gzip, at least as gzip", () =>
    Effect.gen(function* () {
      const gzip = Buffer.concat([Buffer.from("1f8b", "hex"), Buffer.alloc(100, 0xff)])
      expect(yield* textOf(gzip, "agency-3.csv.gz")).toBe(
        "agency-3.csv.gz: it is compressed with gzip; " +
          "convert it with: gunzip -c < agency-3.csv.gz > agency-3.book.csv"
      )
    })
  )

  it.effect("on standard input, with a word for the file", () =>
    Effect.gen(function* () {
      const found = yield* recognise(ASCII.replaceAll(",", ";"), "standard input", true)
      expect(found?.text).toBe(
        "standard input: its fields are separated by semicolons; " +
          "convert it with: tr ';' ',' < FILE > FILE.book.csv"
      )
    })
  )

  it.effect("with a word for a file whose name would be escaped", () =>
    Effect.gen(function* () {
      const text = yield* textOf(ASCII.replaceAll(",", ";"), "a\nb.csv")
      expect(text).toContain(" < FILE > FILE.book.csv")
    })
  )

  it.effect("several at once, in the log without the command, which has a |", () =>
    Effect.gen(function* () {
      const content = `a;b;c;d;e\n${ASCII.replaceAll(",", ";")}`
      const found = yield* recognise(content)
      const clauses = "its fields are separated by semicolons and its first line is a header"
      expect(found?.text).toBe(
        `agency-3.csv: ${clauses}; convert it with: ` +
          "tr ';' ',' < agency-3.csv | tail -n +2 > agency-3.book.csv"
      )
      expect(found?.found.message).toMatch(
        new RegExp(`^agency-3.csv: ${clauses}; lottery check \\S+/agency-3.csv names the command$`)
      )
    })
  )

  it.effect("and the new file is never the file itself", () =>
    Effect.gen(function* () {
      const text = yield* textOf(ASCII.replaceAll(",", ";"), "agency-3.book.csv")
      expect(text).toMatch(/ < agency-3\.book\.csv > agency-3\.book\.book\.csv$/)
    })
  )
})
