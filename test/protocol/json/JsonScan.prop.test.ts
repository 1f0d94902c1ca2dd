/**
 * Goal: the scan accepts exactly the JSON within the limits, and no bytes that parse to more.
 * Method: random JSON, compared with an oracle that parses it and measures every element. Then
 * random bytes, and valid messages with changed bytes. Set LOTTERY_TEST_SEED to the seed of a
 * failure to repeat it.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { scanJson } from "../../../src/protocol/json/JsonScan.ts"
import {
  MAX_JSON_DEPTH,
  MAX_JSON_MEMBERS,
  MIN_JSON_ROW_BYTES
} from "../../../src/protocol/Limits.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 200_000 : 5_000
const seed = process.env.LOTTERY_TEST_SEED
const parameters = {
  numRuns: RUNS,
  ...(seed === undefined ? {} : { seed: Number(seed) })
}

/** JSON text, and the texts between the commas of its outermost list or object. */
interface Written {
  readonly text: string
  readonly parts: ReadonlyArray<{ readonly text: string; readonly value: Written }>
}

const blank = fc.oneof(
  { weight: 6, arbitrary: fc.constant("") },
  { weight: 1, arbitrary: fc.stringMatching(/^[ \t\r\n]{0,4}$/) },
  { weight: 1, arbitrary: fc.constant(" ".repeat(25)) }
)
/** Pieces of strings: text that looks like structure, escapes, and strings near the limits. */
const piece = fc.constantFrom(
  ...['\\"', "\\\\", "\\u005b", "\\u0022", "\\n", "\\/", "[", "]", "{", "}", ",", ":", "[[[", " "],
  ...["ñ", "😀", "é", "1900-01-01", "a,b,1,1900-01-01,0", "x".repeat(15), "x".repeat(17), ""]
)
const string = fc.array(piece, { maxLength: 5 }).map((pieces) => `"${pieces.join("")}"`)
const ROW = fc.constantFrom('"a,b,1,1900-01-01,0"', '"Ana,\\u00d1u,1,1900-01-01,0"')
const row = ROW.map((text): Written => ({ text, parts: [] }))
const leaf: fc.Arbitrary<Written> = fc
  .oneof(string, ROW, fc.constantFrom("0", "-1.5e3", "null", "true", "12345678901234567890"))
  .map((text) => ({ text, parts: [] }))

/** Makes a list or an object with unique keys, with white space around the values. */
const container = (values: fc.Arbitrary<Written>, maxLength: number) =>
  fc
    .tuple(
      fc.boolean(),
      fc.array(fc.tuple(blank, string, blank, values, blank), { maxLength, size: "max" }),
      blank
    )
    .map(([isObject, drawn, inside]): Written => {
      const parts = drawn.map(([before, key, between, value, after], at) => {
        const name = isObject ? `"${at}${key.slice(1)}${between}:` : ""
        return { text: `${before}${name}${value.text}${after}`, value }
      })
      const text = parts.length === 0 ? inside : parts.map((part) => part.text).join(",")
      return { text: isObject ? `{${text}}` : `[${text}]`, parts }
    })

const list = (elements: fc.Arbitrary<Written>) => container(elements, 6)
const inner = fc.oneof(
  { weight: 4, arbitrary: leaf },
  { weight: 3, arbitrary: list(row) },
  { weight: 2, arbitrary: list(leaf) },
  { weight: 1, arbitrary: list(fc.oneof(leaf, list(leaf))) },
  { weight: 1, arbitrary: container(container(row, 3), 1) },
  { weight: 1, arbitrary: container(leaf, 20) }
)
const document = fc
  .oneof(leaf, container(inner, 4), container(leaf, 20))
  .chain((value) =>
    fc.tuple(blank, blank).map(([before, after]) => ({ value, text: before + value.text + after }))
  )

const levelsOf = (value: unknown): number =>
  typeof value === "object" && value !== null
    ? 1 + Math.max(0, ...Object.values(value).map(levelsOf))
    : 0

const childrenOf = (value: unknown): ReadonlyArray<unknown> =>
  typeof value === "object" && value !== null ? Object.values(value) : []

/** A first-level list counts as an object; second-level lists have another limit. */
const hasTooManyMembers = (value: unknown): boolean =>
  [value, ...childrenOf(value).filter((inner) => !Array.isArray(inner))].some(
    (object) => childrenOf(object).length > MAX_JSON_MEMBERS
  )

const excessesOf = (text: string, { parts }: Written): ReadonlyArray<"deep" | "many" | "short"> => {
  const value: unknown = JSON.parse(text)
  const isShort = parts
    .filter((part) => part.value.text.startsWith("["))
    .flatMap((part) => part.value.parts)
    .some((part) => Buffer.byteLength(part.text) < MIN_JSON_ROW_BYTES)
  return [
    ...(levelsOf(value) > MAX_JSON_DEPTH ? ["deep" as const] : []),
    ...(hasTooManyMembers(value) ? ["many" as const] : []),
    ...(isShort ? ["short" as const] : [])
  ]
}

const parsed = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return undefined
  }
}

/** Checks that accepted bytes parse to values within the limits. */
const expectBounded = (bytes: Uint8Array) => {
  if (scanJson(bytes) !== undefined) return
  const value = parsed(bytes)
  expect(levelsOf(value)).toBeLessThanOrEqual(MAX_JSON_DEPTH)
  expect(hasTooManyMembers(value)).toBe(false)
  const elements = childrenOf(value).filter(Array.isArray).flatMap(childrenOf).length
  expect(elements * MIN_JSON_ROW_BYTES).toBeLessThanOrEqual(bytes.length)
}

const change = fc.record({
  at: fc.nat(),
  removed: fc.nat(3),
  put: fc.constantFrom('"', "\\", "[", "]", "{", "}", ",", ":", " ", "0", "[[", "]]", "\xff", "")
})

/** Valid messages with some bytes changed. */
const changed = fc
  .tuple(
    fc.oneof(document, container(list(row), 3)),
    fc.array(change, { minLength: 1, maxLength: 4 })
  )
  .map(([{ text }, changes]) => {
    let bytes = Buffer.from(text)
    for (const { at, put, removed } of changes) {
      const from = at % (bytes.length + 1)
      const rest = bytes.subarray(from + removed)
      bytes = Buffer.concat([bytes.subarray(0, from), Buffer.from(put, "latin1"), rest])
    }
    return bytes
  })

const token = fc.oneof(fc.constantFrom(...'[]{},:"\\ 0', '"a,b,1,1900-01-01,0"'), piece, string)

describe("the scan of JSON", () => {
  it("accepts exactly the JSON within the limits", () => {
    const seen = { none: 0, deep: 0, many: 0, short: 0 }
    fc.assert(
      fc.property(document, ({ text, value }) => {
        const excesses = excessesOf(text, value)
        // Counts only texts that exceed a single limit.
        if (excesses.length <= 1) seen[excesses[0] ?? "none"]++
        expect(scanJson(Buffer.from(text)) === undefined, text).toBe(excesses.length === 0)
      }),
      parameters
    )
    // The test proves nothing about a case that hardly occurs.
    for (const [what, times] of Object.entries(seen)) {
      expect(times, what).toBeGreaterThan(RUNS / 100)
    }
  })

  it("accepts no bytes that parse to more", () => {
    const text = fc.array(token, { maxLength: 30 }).map((tokens) => Buffer.from(tokens.join("")))
    fc.assert(fc.property(fc.oneof(text, fc.uint8Array()), expectBounded), parameters)
  })

  it("accepts no changed message that parses to more", () => {
    const seen = { parsed: 0 }
    fc.assert(
      fc.property(changed, (bytes) => {
        if (parsed(bytes) !== undefined) seen.parsed++
        expectBounded(bytes)
      }),
      parameters
    )
    expect(seen.parsed).toBeGreaterThan(RUNS / 20)
  })
})
