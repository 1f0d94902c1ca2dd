/** Goal: good books are read, bad lines are located and reported, or copied to a file. */
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { layer } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { describe, expect } from "vitest"
import * as Book from "../../../src/client/book/Book.ts"
import * as BookFile from "../../../src/client/book/BookFile.ts"
import type { DialectCheck } from "../../../src/client/book/BookParser.ts"

const OPTIONS = { name: "agency-3.csv", batchSize: 1000, maxBatchBytes: 8192, today: "2024-02-29" }
const into = (file: string, maxRejects = 50) => ({ file, maxRejects, agency: 3 })
const GOOD = "Ana,Pérez,01234567,1999-03-17,7574"

const bookOf = Effect.fnUntraced(function* (content: string | Uint8Array) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "lottery-book-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const file = join(folder, "agency-3.csv")
  writeFileSync(file, content)
  return { file, rejects: join(folder, "rejects.csv") }
})

const rowsIn = (book: Book.Book) =>
  Effect.map(Stream.runCollect(book.batches), (batches) =>
    batches.flatMap((batch) => [...batch.rows()])
  )

/** Changes a file's modification time. */
const touch = (file: string) => utimesSync(file, 0, 0)

/** Returns a book's rows, and checks that reading the file again gives the same. */
const rowsOf = Effect.fnUntraced(function* (
  content: string | Uint8Array,
  options: Partial<BookFile.FileOptions> = {}
) {
  const { file } = yield* bookOf(content)
  const { book } = yield* BookFile.open(file, { ...OPTIONS, ...options })
  const rows = yield* rowsIn(book)
  touch(file)
  expect(yield* rowsIn(book)).toEqual(rows)
  return rows
})

const problemOf = Effect.fnUntraced(function* (
  content: string | Uint8Array,
  options: Partial<BookFile.FileOptions> = {}
) {
  const { file } = yield* bookOf(content)
  return (yield* Effect.flip(BookFile.open(file, { ...OPTIONS, ...options }))).message
})

layer(NodeServices.layer)("BookFile", (it) => {
  describe("a good book", () => {
    it.effect("may use LF or CRLF, and may lack the last line ending", () =>
      Effect.gen(function* () {
        for (const content of [
          `${GOOD}\n${GOOD}\n`,
          `${GOOD}\r\n${GOOD}\r\n`,
          `${GOOD}\r\n${GOOD}`,
          `${GOOD}\n${GOOD}\n\r\n`,
          `\ufeff${GOOD}\n${GOOD}`
        ]) {
          expect(yield* rowsOf(content)).toEqual([GOOD, GOOD])
        }
        // Only at the beginning of the file is it a byte order mark.
        expect(yield* rowsOf(`${GOOD}\n\ufeff${GOOD}\n`)).toEqual([GOOD, `\ufeff${GOOD}`])
        expect(yield* rowsOf("")).toEqual([])
        expect(yield* rowsOf("\ufeff\n")).toEqual([])
      })
    )

    it.effect("may quote fields, which become canonical", () =>
      Effect.gen(function* () {
        const quoted = '"Ana","Pérez, ""hija""","01234567",1999-03-17,"0074"\r\n'
        expect(yield* rowsOf(`${quoted}${GOOD}\r\n`)).toEqual([
          'Ana,"Pérez, ""hija""",01234567,1999-03-17,74',
          GOOD
        ])
      })
    )

    it.effect("is divided into batches by bets and by bytes", () =>
      Effect.gen(function* () {
        const { file } = yield* bookOf(`${GOOD}\n`.repeat(10))
        const countsOf = Effect.fnUntraced(function* (options: Partial<BookFile.FileOptions>) {
          const { book } = yield* BookFile.open(file, { ...OPTIONS, ...options })
          return (yield* Stream.runCollect(book.batches)).map((batch) => batch.count)
        })
        expect(yield* countsOf({ batchSize: 4 })).toEqual([4, 4, 2])
        const rowBytes = Buffer.byteLength(GOOD) + 1
        expect(yield* countsOf({ maxBatchBytes: 3 * rowBytes })).toEqual([3, 3, 3, 1])
        expect(yield* countsOf({ maxBatchBytes: 3 * rowBytes - 1 })).toEqual([2, 2, 2, 2, 2])
      })
    )

    it.effect("is counted and hashed", () =>
      Effect.gen(function* () {
        const { file } = yield* bookOf(`${GOOD}\r\n`.repeat(3))
        const { badLines, book, unended } = yield* BookFile.open(file, OPTIONS)
        expect({ badLines, unended }).toEqual({ badLines: 0, unended: undefined })
        expect(book).toMatchObject({
          total: 3,
          sha256: createHash("sha256").update(`${GOOD}\n`.repeat(3)).digest("hex")
        })
      })
    )

    it.effect("stays in memory unless it is large", () =>
      Effect.gen(function* () {
        const large = Math.ceil(BookFile.MAX_KEPT_BYTES / (Buffer.byteLength(GOOD) + 1)) + 1
        for (const [count, isKept] of [
          [1, true],
          [large, false]
        ] as const) {
          const { file } = yield* bookOf(`${GOOD}\r\n`.repeat(count))
          touch(file)
          const { book } = yield* BookFile.open(file, OPTIONS)
          // The new file has the same size and modification time.
          const other = GOOD.replace("Ana", "Eva")
          writeFileSync(file, `${other}\r\n`.repeat(count))
          touch(file)
          const first = Option.getOrThrow(yield* Stream.runHead(book.batches))
          expect([...first.rows()][0]).toBe(isKept ? GOOD : other)
        }
      })
    )
  })

  describe("a bad line", () => {
    it.effect("that was added after the check is reported after the batches before it", () =>
      Effect.gen(function* () {
        const { file } = yield* bookOf(`${GOOD}\n`.repeat(10))
        const { book } = yield* BookFile.open(file, { ...OPTIONS, batchSize: 3 })
        writeFileSync(file, `${`${GOOD}\n`.repeat(10)}none\n`)
        touch(file)
        const counts: Array<number> = []
        const read = Stream.runForEach(book.batches, ({ count }) =>
          Effect.sync(() => void counts.push(count))
        )
        expect(yield* Effect.flip(read)).toMatchObject({ _tag: "BadLine", line: 11 })
        expect(counts).toEqual([3, 3, 3])
      })
    )

    it.effect("is reported with file, line and field", () =>
      Effect.gen(function* () {
        expect(yield* problemOf(`${GOOD}\nAna,Paz,1,1999-02-31,7\n${GOOD}\n`)).toBe(
          "agency-3.csv:2: birthdate: expected a real date YYYY-MM-DD " +
            'from 1900-01-01 to 9999-12-31, got "1999-02-31"'
        )
        expect(yield* problemOf(`${GOOD}\n${GOOD}\n"Ana",Paz,x,1999-02-01,7`)).toContain(
          "agency-3.csv:3: document: "
        )
        expect(yield* problemOf("Ana,Paz,1\n")).toBe(
          "agency-3.csv:1: line: expected 5 fields separated by commas, got 3"
        )
        for (const line of ['"Ana,Paz,1,1999-01-01,1', '"Ana";Paz,1,1999-01-01,1', '"Ana" ,Paz']) {
          expect(yield* problemOf(`${line}\n`)).toBe(
            "agency-3.csv:1: line: expected a closing quote followed by a comma"
          )
        }
        expect(yield* problemOf(`${GOOD}\n\r\n${GOOD}\n`)).toBe(
          "agency-3.csv:2: line: expected a bet, got an empty line"
        )
        expect(yield* problemOf(`${GOOD}\n${"x".repeat(1025)}\n`)).toBe(
          "agency-3.csv:2: line: expected at most 1024 bytes"
        )
        expect(yield* problemOf(Buffer.from("A\xff,B,1,1999-01-01,1", "latin1"))).toBe(
          "agency-3.csv:1: first name: expected valid UTF-8; " +
            "it has no line ending: the book may be truncated here and is not sent"
        )
      })
    )

    it.effect("may be a bet that only a dialect refuses", () =>
      Effect.gen(function* () {
        const check: DialectCheck = (source, spans) =>
          source.subarray(spans[0], spans[3]).includes(0x3b)
            ? { field: "name", message: "cannot hold ;" }
            : undefined
        const content = `${GOOD}\nA;na,Paz,1,1999-01-01,1\n`
        expect(yield* problemOf(content, { check })).toBe("agency-3.csv:2: name: cannot hold ;")
        expect(yield* rowsOf(content)).toHaveLength(2)
      })
    )

    it.effect("may be a bet that is too large for a batch", () =>
      Effect.gen(function* () {
        const bytes = Buffer.byteLength(GOOD) + 1
        for (const line of [GOOD, GOOD.replace("Ana", '"Ana"')]) {
          expect(yield* problemOf(`${line}\n`, { maxBatchBytes: bytes - 1 })).toBe(
            `agency-3.csv:1: line: expected at most ${bytes - 1} bytes per bet, got ${bytes}`
          )
          expect(yield* rowsOf(`${line}\n`, { maxBatchBytes: bytes })).toEqual([GOOD])
        }
      })
    )

    it.effect("stops reading", () =>
      Effect.gen(function* () {
        const { file } = yield* bookOf(`${GOOD}\n`.repeat(7))
        const { book } = yield* BookFile.open(file, OPTIONS)
        writeFileSync(file, `${GOOD}\n`.repeat(5).concat("bad\n", GOOD))
        const error = yield* Effect.flip(rowsIn(book))
        expect(error).toMatchObject({ _tag: "BadLine", line: 6, field: "line" })
      })
    )
  })

  describe("with a file for rejects", () => {
    it.effect("bad lines are copied byte for byte, and the others are read", () =>
      Effect.gen(function* () {
        // Longer than a piece of the file.
        const long = `${"x".repeat(1_000_000)}\r\n`
        const bad = ["bad\r\n", "\n", long, "Ana,Paz,1,1999-02-31,7\n"]
        const content = [bad[0], GOOD, "\n", bad[1], GOOD, "\n", bad[2], GOOD, "\n", bad[3]].join(
          ""
        )
        const { file, rejects } = yield* bookOf(content)
        const { badLines, book } = yield* BookFile.open(file, {
          ...OPTIONS,
          rejects: into(rejects)
        })
        expect([badLines, book.total]).toEqual([4, 3])
        expect(readFileSync(rejects, "utf8")).toBe(bad.join(""))
        expect(statSync(rejects).mode & 0o777).toBe(0o600 & ~process.umask())
        touch(file)
        expect(yield* rowsIn(book)).toEqual([GOOD, GOOD, GOOD])
      })
    )

    it.effect("a bad last line without a line ending is an error: the book may be truncated", () =>
      Effect.gen(function* () {
        for (const [cut, reason] of [
          ["Ana,Paz,1", "line: expected 5 fields separated by commas, got 3"],
          ["\nAna,Paz,1,1999-02-31,7", "birthdate: expected a real date"],
          ["\0".repeat(5000), "line: expected at most 1024 bytes"]
        ] as const) {
          const { file, rejects } = yield* bookOf(`bad\n${GOOD}\n${cut}`)
          const { message } = yield* Effect.flip(
            BookFile.open(file, { ...OPTIONS, rejects: into(rejects) })
          )
          const line = cut.startsWith("\n") ? 4 : 3
          expect(message).toContain(`agency-3.csv:${line}: ${reason}`)
          expect(message).toMatch(/; it has no line ending: the book may be truncated here /)
        }
      })
    )

    it.effect("a bet's line is found even after skipped lines", () =>
      Effect.gen(function* () {
        // Longer than a piece of the file.
        const long = "x".repeat(1_000_000)
        const { file, rejects } = yield* bookOf(
          `\ufeffbad\r\n${GOOD}\n\n"Ana",Paz,1,1999-03-17,7\n${long}\n${GOOD}`
        )
        const { book } = yield* BookFile.open(file, { ...OPTIONS, rejects: into(rejects) })
        const places = yield* Effect.forEach([0, 1, 2, 3], book.placeOf)
        const [first, second, third] = [2, 4, 6].map((line) => `agency-3.csv:${line}`)
        expect(places).toEqual([first, second, third, undefined])
      })
    )

    it.effect("the book itself is never truncated", () =>
      Effect.gen(function* () {
        const { file } = yield* bookOf(`${GOOD}\n`)
        const error = yield* Effect.flip(BookFile.open(file, { ...OPTIONS, rejects: into(file) }))
        expect(error._tag).toBe("FileUnavailable")
        expect(readFileSync(file, "utf8")).toBe(`${GOOD}\n`)
      })
    )
  })

  it.effect("a last line without a line ending is reported, shortened if it is long", () =>
    Effect.gen(function* () {
      const unendedIn = Effect.fnUntraced(function* (content: string) {
        const { file, rejects } = yield* bookOf(content)
        const options = { ...OPTIONS, rejects: into(rejects) }
        return (yield* BookFile.open(file, options)).unended
      })
      for (const ended of ["", "\ufeff", `${GOOD}\n`, `${GOOD}\r\n`, `${GOOD}\n\r`]) {
        expect(yield* unendedIn(ended), ended).toBeUndefined()
      }
      expect(yield* unendedIn(`\ufeff${GOOD}`)).toEqual({ line: 1, text: GOOD })
      expect(yield* unendedIn(`${GOOD}\n${GOOD}\r`)).toEqual({ line: 2, text: GOOD })
      const long = GOOD.replaceAll(/Ana|Pérez/g, "x".repeat(50))
      expect(yield* unendedIn(`${GOOD}\n${long}`)).toEqual({ line: 2, text: `…${long.slice(-80)}` })
    })
  )

  it.effect("a small book that was written after the check counts as changed", () =>
    Effect.gen(function* () {
      const { file } = yield* bookOf(`${GOOD}\n`)
      const { book } = yield* BookFile.open(file, OPTIONS)
      yield* Book.verify(book)
      writeFileSync(file, `${GOOD}\n${GOOD}\n`)
      const grown = yield* Effect.flip(Book.verify(book))
      expect(grown).toMatchObject({ _tag: "BookChanged", checked: 1, read: 2 })
      writeFileSync(file, GOOD.replace("Ana", "Eva"))
      expect(yield* Effect.flip(Book.verify(book))).toMatchObject({ _tag: "BookChanged" })
    })
  )

  it.effect("a birthdate may be today but not tomorrow, quoted or not", () =>
    Effect.gen(function* () {
      const born = (day: string) => `Ana,Paz,1,${day},7`
      expect(yield* rowsOf(`${born("2024-02-29")}\n`)).toEqual([born("2024-02-29")])
      for (const day of ["2024-03-01", "2024-10-01", "2025-01-01", "2100-01-01", "9999-12-31"]) {
        for (const line of [born(day), born(day).replace(day, `"${day}"`)]) {
          expect(yield* problemOf(`${GOOD}\n${line}\n`)).toBe(
            `agency-3.csv:2: birthdate: expected a date up to today, 2024-02-29, got "${day}"`
          )
        }
      }
      expect(yield* problemOf("Ana,Paz,1,x999-01-01,7\n")).toContain("birthdate: expected a real")
    })
  )

  it.effect("a missing book is reported as missing", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(BookFile.open("/nowhere/agency-3.csv", OPTIONS))
      expect(error.message).toBe("agency-3.csv: no such file or folder")
    })
  )
})
