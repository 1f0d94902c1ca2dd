/** Where settings come from, and the errors of invalid ones. */
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Duration, Effect, Result, Schema } from "effect"
import { describe, expect } from "vitest"
import * as Setting from "../../../src/cli/settings/Setting.ts"
import * as SettingKeys from "../../../src/cli/settings/SettingKeys.ts"
import * as SettingText from "../../../src/cli/settings/SettingText.ts"

const count = Setting.withDefault("loop-count", "<number>", {
  description: "How many",
  schema: SettingText.intBetween(1, 9),
  keys: ["CLI_LOOP_AMOUNT"],
  default: 5
})

const parse = (flags: Record<string, ReadonlyArray<string>>, env: Record<string, string>) =>
  count.parse({ flags, arguments: [] }).pipe(
    Effect.map(([, value]) => value),
    Effect.provide(SettingKeys.environment(env)),
    Effect.provide(NodeServices.layer)
  )

describe("a setting", () => {
  it.effect(
    "comes from the flag, then the environment in the order of its keys, then the default",
    () =>
      Effect.gen(function* () {
        const env = { CLI_LOOP_AMOUNT: "2", LOTTERY_LOOP_COUNT: "3" }
        expect(yield* parse({ "loop-count": ["1"] }, env)).toBe(1)
        expect(yield* parse({}, env)).toBe(2)
        expect(yield* parse({}, { LOTTERY_LOOP_COUNT: "3" })).toBe(3)
        expect(yield* parse({}, { CLI_LOOP_AMOUNT: "" })).toBe(5)
      })
  )

  it.effect("reports its name, its origin and what was expected", () =>
    Effect.gen(function* () {
      const flag = yield* Effect.flip(parse({ "loop-count": ["10"] }, {}))
      expect(flag.message).toBe(
        'loop-count from the flag --loop-count: expected a whole number from 1 to 9, got "10"'
      )
      const long = yield* Effect.flip(parse({}, { CLI_LOOP_AMOUNT: "1".repeat(9000) }))
      expect(long.message).toContain(`, got "${"1".repeat(64)}…"`)
      const variable = yield* Effect.flip(parse({}, { CLI_LOOP_AMOUNT: "many" }))
      expect(variable.message).toBe(
        "loop-count from the environment variable CLI_LOOP_AMOUNT: " +
          'expected a whole number from 1 to 9, got "many"'
      )
    })
  )

  it.effect("that is required reports how to give it", () =>
    Effect.gen(function* () {
      const agency = Setting.required("agency", "<number>", {
        description: "Agency",
        schema: SettingText.AgencyFromText,
        keys: ["CLI_ID"]
      })
      const error = yield* Effect.flip(agency.parse({ flags: {}, arguments: [] }))
      expect(error.message).toContain("--agency")
      expect(error.message).toContain("CLI_ID")
    }).pipe(Effect.provide(SettingKeys.environment({})), Effect.provide(NodeServices.layer))
  )
})

describe("a setting of one mode", () => {
  const flag = Setting.whenUsed("port", "<port>", {
    description: "Port",
    schema: SettingText.Port,
    keys: ["SERVER_PORT"],
    default: 7
  })
  const given = (flags: Record<string, ReadonlyArray<string>>, env: Record<string, string>) =>
    Effect.gen(function* () {
      const [, setting] = yield* flag.parse({ flags, arguments: [] })
      return { setting, value: yield* Effect.result(setting.value) }
    }).pipe(Effect.provide(SettingKeys.environment(env)), Effect.provide(NodeServices.layer))

  it.effect("is always checked as a flag, and elsewhere only if it is used", () =>
    Effect.gen(function* () {
      expect((yield* given({}, {})).value).toEqual(Result.succeed(7))
      expect((yield* given({}, { SERVER_PORT: "80" })).value).toEqual(Result.succeed(80))
      const { setting, value } = yield* given({ port: ["81"] }, { SERVER_PORT: "none" })
      expect([setting.hasFlag, value]).toEqual([true, Result.succeed(81)])
      const wrong = yield* given({}, { SERVER_PORT: "none" })
      expect(wrong.setting.hasFlag).toBe(false)
      expect(Result.getOrThrow(Result.flip(wrong.value)).message).toContain("SERVER_PORT: expected")
      const flagged = yield* Effect.flip(given({ port: ["none"] }, {}))
      expect(flagged.message).toContain("from the flag --port: expected")
    })
  )
})

describe("a switch", () => {
  const once = (flags: Record<string, ReadonlyArray<string>>, env: Record<string, string>) =>
    Setting.flag("once", "End")
      .parse({ flags, arguments: [] })
      .pipe(
        Effect.map(([, value]) => value),
        Effect.provide(SettingKeys.environment(env)),
        Effect.provide(NodeServices.layer)
      )

  it.effect("is off unless the flag or the environment turns it on", () =>
    Effect.gen(function* () {
      expect(yield* once({}, {})).toBe(false)
      expect(yield* once({ once: ["true"] }, {})).toBe(true)
      expect(yield* once({}, { LOTTERY_ONCE: "TRUE" })).toBe(true)
      expect(yield* once({ once: ["false"] }, { LOTTERY_ONCE: "1" })).toBe(false)
      const error = yield* Effect.flip(once({}, { LOTTERY_ONCE: "maybe" }))
      expect(error.message).toContain("environment variable LOTTERY_ONCE: expected true or false")
    })
  )
})

const read = <A>(schema: SettingText.TextSchema<A>, text: string): A | undefined =>
  Result.getOrUndefined(Schema.decodeResult(schema)(text))

describe("values", () => {
  it("reads agencies as a count or a list, sorted, each once", () => {
    expect(read(SettingText.AgenciesFromText, "5")).toEqual([1, 2, 3, 4, 5])
    expect(read(SettingText.AgenciesFromText, "7,2,1,2")).toEqual([1, 2, 7])
    expect(read(SettingText.AgenciesFromText, "7,")).toEqual([7])
    for (const wrong of ["", "0", "-1", ",", "1,,2", "1,0", "a", "1,2147483648", "9999999"]) {
      expect(read(SettingText.AgenciesFromText, wrong), wrong).toBeUndefined()
    }
    expect(SettingText.showAgencies([1, 2, 3])).toBe("3")
    expect(SettingText.showAgencies([7])).toBe("7,")
    expect(SettingText.showAgencies([1])).toBe("1")
  })

  it("reads one agency, also a number too high for a count, or several", () => {
    expect(read(SettingText.AgencyListFromText, "3")).toEqual([3])
    expect(read(SettingText.AgencyListFromText, "2147483647")).toEqual([2_147_483_647])
    expect(read(SettingText.AgencyListFromText, "5,3,5")).toEqual([3, 5])
    for (const wrong of ["", "0", ",", "3,,5", "3-5", "all", "2147483648"]) {
      expect(read(SettingText.AgencyListFromText, wrong), wrong).toBeUndefined()
    }
  })

  it("reads times that exist and have an offset", () => {
    const evening = Date.UTC(2026, 11, 2)
    for (const same of [
      "2026-12-01T21:00:00-03:00",
      "2026-12-01T21:00-03:00",
      "2026-12-02T00:00Z"
    ]) {
      expect(read(SettingText.TimeFromText, same), same).toBe(evening)
    }
    expect(read(SettingText.TimeOrNever, "never")).toBe("never")
    const wrongs = ["2026-12-01T21:00", "2026-02-30T00:00Z", "2026-12-01T24:00Z", "21:00Z", "never"]
    for (const wrong of wrongs) {
      expect(read(SettingText.TimeFromText, wrong), wrong).toBeUndefined()
    }
  })

  it("reads addresses, IPv6 in brackets", () => {
    expect(read(SettingText.AddressFromText, "localhost:80")).toEqual({
      host: "localhost",
      port: 80
    })
    expect(read(SettingText.AddressFromText, "[::1]:80")).toEqual({ host: "::1", port: 80 })
    for (const wrong of ["localhost", "localhost:", ":80", "a:0", "a:65536", "::1:80", "a b:80"]) {
      expect(read(SettingText.AddressFromText, wrong), wrong).toBeUndefined()
    }
    expect(SettingText.showAddress({ host: "::1", port: 80 })).toBe("[::1]:80")
  })

  it("reads durations", () => {
    const millis = (text: string) => {
      const duration = read(SettingText.DurationFromText, text)
      return duration === undefined ? undefined : Duration.toMillis(duration)
    }
    expect(millis("500ms")).toBe(500)
    expect(millis("1s")).toBe(1000)
    expect(millis("1.5m")).toBe(90_000)
    expect(millis("1h30m")).toBe(5_400_000)
    for (const wrong of ["", "1", "s", "1 s", "-1s", "1x"]) expect(millis(wrong)).toBeUndefined()
    expect(SettingText.showDuration(Duration.millis(90_000))).toBe("90s")
  })

  it("reads levels in any case", () => {
    expect(read(SettingText.LogLevelFromText, "debug")).toBe("DEBUG")
    expect(read(SettingText.LogLevelFromText, "Warn")).toBe("WARNING")
    expect(read(SettingText.LogLevelFromText, "loud")).toBeUndefined()
  })
})
