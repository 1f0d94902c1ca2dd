import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"

const decode = Schema.decodeEffect(StoreUrl.StoreUrlFromText)

describe("StoreUrl", () => {
  it.effect.each([
    ["sqlite:lottery.db", { _tag: "sqlite", path: "lottery.db" }],
    ["sqlite:/var/lib/a b:c.db", { _tag: "sqlite", path: "/var/lib/a b:c.db" }],
    ["csv:bets.csv", { _tag: "csv", path: "bets.csv" }]
  ] as const)("reads %s, and writes it the same", ([text, url]) =>
    Effect.gen(function* () {
      const decoded = yield* decode(text)
      expect(decoded).toEqual(url)
      expect(StoreUrl.show(decoded)).toBe(text)
    })
  )

  it.effect.each([
    ["postgres://bob:hunter2@host/db", "got the scheme postgres:"],
    ["bob:hunter2", "got the scheme bob:"],
    ["sqlite:", "got no file after sqlite:"],
    ["hunter2.db", "got no scheme"],
    ["", "got no scheme"]
  ] as const)("refuses %s without showing what may be a password", ([text, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(decode(text))
      expect(error.message).toContain(`expected sqlite:FILE or csv:FILE, ${reason}`)
      expect(`${error.message} ${error} ${JSON.stringify(error)}`).not.toContain("hunter2")
    })
  )
})
