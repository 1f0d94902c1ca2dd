/** Goal: the scan of a client's JSON accepts values at each limit and refuses values beyond it. */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { decoder } from "../../../src/protocol/BytesCodec.ts"
import * as Json from "../../../src/protocol/json/JsonMessages.ts"
import { scanJson } from "../../../src/protocol/json/JsonScan.ts"
import { json } from "../../support/peers/messages.ts"

const scan = (text: string) => scanJson(Buffer.from(text))
const listOf = (elements: string) => `{"payload":[${elements}]}`
const SHORTEST = '"a,b,1,1900-01-01,0"'

describe("the scan of JSON accepts", () => {
  it.each([
    ["an empty object", "{}"],
    ["an empty list", listOf("")],
    ["white space in an empty list", listOf(" \t\r\n")],
    ["a lot of white space in an empty list", listOf(" ".repeat(30))],
    ["an empty inner object", '{"payload":{}}'],
    ["the shortest bet", listOf(SHORTEST)],
    ["a hundred of the shortest bets", listOf(Array(100).fill(SHORTEST).join(","))],
    ["short members of an inner object", '{"more":{"x":null,"y":1}}'],
    [
      "16 members of an inner object",
      `{"more":{${Array.from({ length: 16 }, (_, at) => `"m${at}":0`)}}}`
    ],
    ["16 members", `{${Array.from({ length: 16 }, (_, at) => `"m${at}":0`)}}`],
    ["16 lists", `{${Array.from({ length: 16 }, (_, at) => `"m${at}":[${SHORTEST}]`)}}`],
    ["brackets in a string", listOf('"[[[[[[[[{{{{{{{{,,,,,"')],
    ["commas in a member", `{"payload":"${",".repeat(100)}"}`],
    ["a quote in a string", listOf('"\\"[[[[[[[[,,,,,,,,,"')],
    ["a backslash before the end of a string", listOf('"aaaaaaaaaaaaaaaa\\\\"')],
    ["a key with brackets", '{"[[[{{{\\"[":1}'],
    ["multi-byte letters", listOf('"ñññññññññ"')],
    ["only a string", '"[[["'],
    ["nothing", ""]
  ])("%s", (_what, text) => {
    expect(scan(text)).toBeUndefined()
  })
})

describe("the scan of JSON refuses", () => {
  const short = (bytes: number) =>
    `expected first,last,document,birthdate,number, at least 20 bytes in JSON, got ${bytes}`
  const deep = "expected first,last,document,birthdate,number as a string, at most 2 levels of JSON"
  it.each([
    ["19 bytes", listOf('"a,b,1,1900-01-01,"'), { reason: short(19), index: 0, count: 1 }],
    [
      "a short bet among others, which are counted",
      listOf(`${SHORTEST},1,2,${SHORTEST}`),
      { reason: short(1), index: 1, count: 4 }
    ],
    ["nothing before a comma", listOf(`,${SHORTEST}`), { reason: short(0), index: 0, count: 2 }],
    ["nothing after a comma", listOf(`${SHORTEST},`), { reason: short(0), index: 1, count: 2 }],
    ["a short bet in an open list", `{"payload":[1,`, { reason: short(1), index: 0 }],
    [
      "a short bet after an escaped quote",
      listOf(`"\\"a,b,1,1900-01-01,0",1`),
      { reason: short(1), index: 1, count: 2 }
    ],
    [
      "a short bet after an escaped backslash",
      listOf(`"a,b,1,1900-01-01,\\\\",1`),
      { reason: short(1), index: 1, count: 2 }
    ],
    ["a list in a list", listOf(`${SHORTEST},[]`), { reason: deep, index: 1 }],
    ["an object in a list", listOf("{}"), { reason: deep, index: 0 }],
    ["lists in an outer list", "[[[", { reason: deep, index: 0 }],
    [
      "a third level in an inner object",
      '{"more":{"a long enough key":{}}}',
      { reason: "expected at most 2 levels of JSON" }
    ],
    [
      "17 members of an inner object",
      `{"more":{${Array.from({ length: 17 }, (_, at) => `"m${at}":0`)}}}`,
      { reason: "expected at most 16 members in a JSON object" }
    ],
    [
      "17 members",
      `{${Array.from({ length: 17 }, (_, at) => `"m${at}":0`)}}`,
      { reason: "expected at most 16 members in a JSON object" }
    ],
    [
      "17 elements of an outer list",
      `[${Array(17).fill(0)}]`,
      { reason: "expected at most 16 members in a JSON object" }
    ]
  ])("%s", (_what, text, problem) => {
    const { membersEnd: _, ...found } = { count: undefined, index: undefined, ...scan(text)! }
    expect(found).toEqual({ count: undefined, index: undefined, ...problem })
  })

  it("millions of brackets, at the first one that is too deep", () => {
    const bytes = Buffer.alloc(8 * 1024 * 1024, "[")
    bytes.write('{"payload":')
    const read: Array<number> = []
    const watched = new Proxy(bytes, {
      get: (target, key) => {
        const at = typeof key === "string" ? Number(key) : Number.NaN
        if (!Number.isNaN(at)) read.push(at)
        return Reflect.get(target, key, target)
      }
    })
    expect(scanJson(watched)?.index).toBe(0)
    expect(Math.max(...read)).toBe('{"payload":['.length)
  })
})

describe("the refusal of a JSON request by the scan", () => {
  const refusal = (message: unknown) => {
    const decoded = decoder(Json.JsonRequestFromBytes)(json(message))
    return Result.isFailure(decoded) ? decoded.failure : undefined
  }

  it("names the agency and the bet", () => {
    const bets = ["Ana,Perez,1,1999-03-17,1", "Ana", "Eva"]
    const bad = refusal({ type_message: 1, agency: "3", payload: bets })
    expect(bad).toMatchObject({ agency: 3, index: 1, count: 3 })
    expect(bad?.message).toBe(
      "bet 2: expected first,last,document,birthdate,number, at least 20 bytes in JSON, got 5"
    )
  })

  it("names the agency if bets are lists", () => {
    const bad = refusal({ agency: 3, type_message: 1, payload: [["Ana", "Perez"]] })
    expect(bad).toMatchObject({ agency: 3, index: 0 })
  })

  it("does not name an agency that comes after the bets", () => {
    expect(refusal({ type_message: 1, payload: ["Ana"], agency: 3 })).toMatchObject({ index: 0 })
    expect(refusal({ payload: ["Ana"], type_message: 1, agency: 3 })?.agency).toBeUndefined()
  })

  it("does not apply to a server's reply, which may have many short winners", () => {
    const documents = Array.from({ length: 1000 }, (_, at) => `${at}`)
    const decoded = decoder(Json.JsonReplyFromBytes)(json({ type_message: 2, payload: documents }))
    expect(Result.getOrThrow(decoded)).toEqual(new Json.InformWinners({ documents }))
  })
})
