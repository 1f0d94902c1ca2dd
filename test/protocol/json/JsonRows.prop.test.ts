/**
 * Goal: bets read from JSON bytes are those that a JSON parser reads, and bets are written as a
 * JSON library writes them. Method: random lists, and messages with changed bytes. Accepted bets
 * must equal those of `JSON.parse` after the check of each field, and ordinary lists must be
 * accepted. Set LOTTERY_TEST_SEED to the seed of a failure to repeat it.
 */
import { Result } from "effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { BetBatch, BetBatchBuilder } from "../../../src/domain/BetBatch.ts"
import * as Json from "../../../src/protocol/json/JsonMessages.ts"
import { readOnlyList } from "../../../src/protocol/json/JsonRows.ts"

const seed = process.env.LOTTERY_TEST_SEED
const parameters = {
  numRuns: process.env.LOTTERY_TEST_LONG ? 100_000 : 3_000,
  ...(seed === undefined ? {} : { seed: Number(seed) })
}

const name = fc
  .array(fc.constantFrom("a", "Ñ", "é ", "日", "😀", "\\", '"', ";", "/", "x".repeat(30), "'"), {
    minLength: 1,
    maxLength: 4
  })
  .map((pieces) => pieces.join(""))
const number = fc.constantFrom("0", "7574", "9999", "007")
const row = fc
  .tuple(name, name, fc.constantFrom("1", "0123456789"), number)
  .map(([first, last, document, bet]) => `${first},${last},${document},1999-12-31,${bet}`)
/** Strings that are invalid or unusual bets. */
const odd = fc.oneof(
  row.map((text) => text.replace(",", ",,")),
  row.map((text) => text.replace("1999-12-31", "1999-02-30")),
  row.map((text) => `${text}\n`),
  row.map((text) => `\ud800${text}`),
  row.map((text) => `\u0085${text}`),
  fc.constant("")
)

type Style = "raw" | "ascii" | "escaped"

const written = (value: unknown, style: Style): string => {
  const escaped = (code: string) => `\\u${code.charCodeAt(0).toString(16).padStart(4, "0")}`
  const plain = JSON.stringify(value)
  if (style === "raw") return plain
  if (style === "ascii") return plain.replaceAll(/[\u007f-\uffff]/g, escaped)
  const text = String(value)
  const all = Array.from({ length: text.length }, (_, at) => escaped(text[at]!).toUpperCase())
  return `"${all.join("").replaceAll("\\U", "\\u")}"`
}

const blank = fc.constantFrom("", "", " ", "\n\t \r")
const styles = fc.constantFrom<Style>("raw", "ascii", "escaped")
const elements = (of: fc.Arbitrary<string>, minLength: number) =>
  fc.array(fc.record({ text: of, style: styles, before: blank, after: blank }), {
    minLength,
    maxLength: 5
  })
const listOf = (of: fc.Arbitrary<string>, minLength = 1) =>
  elements(of, minLength).map((drawn) => {
    const parts = drawn.map(
      ({ after, before, style, text }) => before + written(text, style) + after
    )
    return `[${parts.join(",")}]`
  })

/** Returns the rows of the bets, checked field by field; undefined if one is invalid. */
const rowsOf = (texts: ReadonlyArray<string>): Uint8Array | undefined => {
  const builder = new BetBatchBuilder()
  for (const text of texts) {
    const fields = text.split(",")
    if (fields.length !== 5 || !text.isWellFormed()) return undefined
    if (builder.addTexts(fields) !== undefined) return undefined
  }
  return builder.build().bytes
}

describe("the bets of a JSON list", () => {
  it("are read as a parser reads them", () => {
    fc.assert(
      fc.property(listOf(fc.oneof({ weight: 8, arbitrary: row }, odd)), (list) => {
        const json = Buffer.from(`{"x":1,${list},"y":2}`)
        const read = readOnlyList(json)
        if (read === undefined) return
        expect(read.end).toBe(json.length - ',"y":2}'.length)
        expect(read.batch.bytes).toEqual(rowsOf(JSON.parse(list)))
      }),
      parameters
    )
  })

  it("are read if they are valid, unless a character takes two escapes", () => {
    fc.assert(
      fc.property(listOf(row), (list) => {
        const read = readOnlyList(Buffer.from(list))
        if (/\\ud[89a-f]/i.test(list)) return
        expect(read?.batch.bytes, list).toEqual(rowsOf(JSON.parse(list)))
      }),
      parameters
    )
  })
})

describe("the message of a chunk", () => {
  it("is the one that a JSON library writes in ASCII", () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 5 }), fc.boolean(), (texts, last) => {
        const rows = rowsOf(texts)
        // A name may be too long.
        fc.pre(rows !== undefined)
        const batch = new BetBatch(rows, texts.length)
        const payload = texts.map((text) => text.replace(/,0+(?=[0-9]+$)/, ","))
        const json = written({ type_message: last ? 2 : 1, agency: "3", payload }, "ascii")
        const header = Buffer.alloc(4)
        header.writeUInt32BE(json.length)
        const encoded = Json.encodeJsonRequest(new Json.Chunk({ agency: 3, batch, last }))
        const message = Buffer.from(Result.getOrThrow(encoded))
        expect(message).toEqual(Buffer.concat([header, Buffer.from(json)]))
      }),
      parameters
    )
  })
})

/** Reads a whole message with a JSON parser only. */
const parsed = (json: string) => {
  const { agency, payload, type_message } = JSON.parse(json)
  const isLast = type_message === 2 || type_message === "SEND_LAST_CHUNK"
  return { agency: Number(agency), bytes: rowsOf(payload), last: isLast }
}

const PIECES = ["[", "]", '"', "\\", ",", ":", "{", "}", "0", "\n", "[]", "payload", '","', "null"]
const edit = fc.record({
  at: fc.nat(),
  removed: fc.nat({ max: 3 }),
  piece: fc.constantFrom(...PIECES)
})

describe("a chunk of JSON", () => {
  it("with changed bytes is refused, or has the content that a parser reads", () => {
    fc.assert(
      fc.property(
        listOf(row, 0),
        fc.constantFrom("1", "2", '"SEND_CHUNK"', '"SEND_LAST_CHUNK"', "3"),
        fc.constantFrom('"3"', "3", '"["', '"[]"'),
        fc.oneof(
          { weight: 3, arbitrary: fc.constant("") },
          listOf(row),
          listOf(row).map((other) => `"${other}"`)
        ),
        fc.array(edit, { maxLength: 2 }),
        (list, type, agency, other, edits) => {
          const more = other === "" ? "" : `"x": ${other}, `
          let json = `{"type_message": ${type}, ${more}"agency": ${agency}, "payload": ${list}}`
          for (const { at, piece, removed } of edits) {
            const start = at % json.length
            json = json.slice(0, start) + piece + json.slice(start + removed)
          }
          const body = Buffer.from(json)
          const header = Buffer.alloc(4)
          header.writeUInt32BE(body.length)
          const decoded = Json.decodeJsonRequest(Buffer.concat([header, body]))
          if (Result.isFailure(decoded) || decoded.success._tag !== "Chunk") return
          const { batch, last } = decoded.success
          const { agency: named, bytes, ...rest } = parsed(body.toString())
          expect({ agency: decoded.success.agency, last }, json).toEqual({ agency: named, ...rest })
          expect(batch.bytes, json).toEqual(bytes)
        }
      ),
      parameters
    )
  })
})
