/** Store URLs are parsed or refused, and no output, errors included, shows a password. */
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"

const decode = Schema.decodeEffect(StoreUrl.StoreUrlFromText)
const encode = Schema.encodeEffect(StoreUrl.StoreUrlFromText)

const EXPECTED = "expected sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE"
const POSTGRES = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"

/** Every way a value may be printed or logged. */
const shownOf = (value: unknown): string =>
  `${value} ${JSON.stringify(value)} ${inspect(value, { depth: 9 })}`

describe("StoreUrl", () => {
  it.effect.each([
    ["sqlite:lottery.db", { _tag: "sqlite", path: "lottery.db" }],
    ["sqlite:/var/lib/a b:c.db", { _tag: "sqlite", path: "/var/lib/a b:c.db" }],
    ["csv:bets.csv", { _tag: "csv", path: "bets.csv" }]
  ] as const)("reads %s and writes it unchanged", ([text, url]) =>
    Effect.gen(function* () {
      const decoded = yield* decode(text)
      expect(decoded).toEqual(url)
      expect(StoreUrl.show(decoded)).toBe(text)
      expect(yield* encode(decoded)).toBe(text)
    })
  )

  it.effect.each([
    ["postgres://bob:hunter2@host/db", "postgres://bob@host/db"],
    ["postgresql://bob:hunter2@host:5433/db", "postgres://bob@host:5433/db"],
    ["postgres://host/db?user=bob&password=hunter2", "postgres://bob@host/db"],
    ["postgres:///db?host=/run/postgresql&password=hunter2", "postgres:///run/postgresql/db"]
  ] as const)("reads %s and never shows its password", ([text, shown]) =>
    Effect.gen(function* () {
      const decoded = yield* decode(text)
      if (decoded._tag !== "postgres") return expect(decoded._tag).toBe("postgres")
      expect(Redacted.value(decoded.url)).toBe(text)
      expect(StoreUrl.show(decoded)).toBe(shown)
      expect(yield* encode(decoded)).toBe(shown)
      expect(shownOf(decoded)).not.toContain("hunter2")
    })
  )

  it.effect.each([
    ["mysql://bob:hunter2@host/db", `${EXPECTED}, got the scheme mysql:`],
    ["POSTGRES://bob:hunter2@host/db", `${EXPECTED}, got the scheme POSTGRES:`],
    ["bob:hunter2", `${EXPECTED}, got the scheme bob:`],
    ["sqlite:", `${EXPECTED}, got no file after sqlite:`],
    ["hunter2.db", `${EXPECTED}, got no scheme`],
    [" postgres://bob:hunter2@host/db", `${EXPECTED}, got no scheme`],
    ["//bob:hunter2@host/db", `${EXPECTED}, got no scheme`],
    ["", `${EXPECTED}, got no scheme`],
    ["postgres:", POSTGRES],
    ["postgres:hunter2", POSTGRES],
    ["postgres://bob:hunter2@host:port/db", POSTGRES],
    ["postgres://bob:@hunter2@host/db", `${POSTGRES}, with special characters percent-encoded`],
    ["postgres://host/db?pass=hunter2", `${POSTGRES}, with no parameters except`]
  ] as const)("refuses %s without showing a possible password", ([text, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(decode(text))
      expect(error.message).toContain(reason)
      expect(`${error.message} ${shownOf(error)}`).not.toContain("hunter2")
    })
  )
})
