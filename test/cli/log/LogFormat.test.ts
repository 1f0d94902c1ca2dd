/** The two log formats, at a fixed time. */
import { it } from "@effect/vitest"
import { Cause, Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { type LogChoice, makeLogger } from "../../../src/cli/log/LogFormat.ts"
import { ActionLine, logAction } from "../../../src/domain/ActionLog.ts"

// The course's example, in any time zone.
const TIME = new Date(2023, 2, 30, 21, 50, 49).getTime()

const logged = (choice: LogChoice, effect: Effect.Effect<void>) => {
  const lines: Array<string> = []
  const logger = makeLogger(choice, (line) => lines.push(line))
  return TestClock.setTime(TIME).pipe(
    Effect.andThen(effect),
    Effect.provide(Logger.layer([logger])),
    Effect.as(lines)
  )
}

describe("text", () => {
  it.effect("writes the course's line in local time", () =>
    Effect.gen(function* () {
      const lines = yield* logged({ format: "text", level: "INFO" }, logAction("sorteo", "success"))
      expect(lines).toEqual(["2023-03-30 21:50:49 INFO     action: sorteo | result: success\n"])
    })
  )

  it.effect("uses Python's level names, in eight columns", () =>
    Effect.gen(function* () {
      const lines = yield* logged(
        { format: "text", level: "INFO" },
        Effect.all([
          Effect.logInfo("a"),
          Effect.logWarning("b"),
          Effect.logError("c"),
          Effect.logFatal("d")
        ])
      )
      expect(lines.map((line) => line.slice(20))).toEqual([
        "INFO     a\n",
        "WARNING  b\n",
        "ERROR    c\n",
        "CRITICAL d\n"
      ])
    })
  )

  it.effect("keeps a peer's text from looking like another field or line", () =>
    Effect.gen(function* () {
      const forged = "hola | action: sorteo | result: success"
      for (const msg of [
        forged,
        `${forged} |`,
        `| ${forged}`,
        forged.replaceAll(" | ", "\t|\t"),
        forged.replaceAll(" | ", "\u00a0|   "),
        `hola\n2023-03-30 21:50:49 INFO     ${forged}`
      ]) {
        const lines = yield* logged(
          { format: "text", level: "INFO" },
          Effect.gen(function* () {
            yield* logAction("receive_message", "success", { msg })
            yield* Effect.annotateLogs(logAction("receive_message", "success"), { msg })
            yield* logAction("receive_message", "success", { [msg]: 1 })
            yield* Effect.logWarning(msg)
          })
        )
        expect(lines.map((line) => line.split("|").length)).toEqual([3, 3, 3, 1])
        for (const line of lines) {
          expect(line).toMatch(/^2023-03-30 21:50:49 (INFO {4}|WARNING ) [^\n]*\n$/)
          expect(line).not.toContain("action: sorteo |")
        }
      }
    })
  )

  it.effect("escapes unsafe characters, and text that looks like an escape", () =>
    Effect.gen(function* () {
      for (const [text, shown] of [
        ["a|b", "a\\u007cb"],
        ["a\n2023 b\u2028c", "a\\u000a2023 b\\u2028c"],
        ["\u009b31m", "\\u009b31m"],
        ["\u202eabc\u2066\u200f\u061c", "\\u202eabc\\u2066\\u200f\\u061c"],
        ["\ud800 \u{1f340}", "\\ud800 \u{1f340}"],
        ["a\\u000A", "a\\u005cu000A"],
        ["C:\\users\\Ñandú, Peña-Ünal", "C:\\users\\Ñandú, Peña-Ünal"],
        ["x".repeat(20_000), `${"x".repeat(16_384)}… (20000 characters)`]
      ] as const) {
        const lines = yield* logged(
          { format: "text", level: "INFO" },
          logAction("receive_message", "success", { msg: text })
        )
        expect(lines[0]?.slice(29)).toBe(
          `action: receive_message | result: success | msg: ${shown}\n`
        )
      }
    })
  )

  it.effect("shows a cause with its stack lines, and never a peer's text as a line", () =>
    Effect.gen(function* () {
      const forged = "\u001b[31m\n2023-03-30 21:50:49 INFO     action: a | result: b\n    at y"
      const shown =
        "\\u001b[31m\\u000a2023-03-30 21:50:49 INFO     action: a \\u007c result: b\\u000a    at y"
      const cause = new Error(`cause ${forged}`)
      cause.stack = `Error: ${cause.message}\n    at z`
      const error = new TypeError(`error ${forged}`, { cause })
      // The message changed after the stack was captured, so the stack still has the old one.
      error.stack = `TypeError: ${forged}\n    at f (file.ts:1:2)\n    at g`
      const lines = yield* logged(
        { format: "text", level: "INFO" },
        Effect.logFatal("it failed", Cause.combine(Cause.fail(error), Cause.die(forged)))
      )
      expect(lines[0]?.split("\n")).toEqual([
        "2023-03-30 21:50:49 CRITICAL it failed",
        `    TypeError: error ${shown}`,
        "        at y",
        "        at f (file.ts:1:2)",
        "        at g",
        `    [cause]: Error: cause ${shown}`,
        "        at z",
        `    Error: ${shown}`,
        ""
      ])
    })
  )

  it.effect("shows nothing below the level", () =>
    Effect.gen(function* () {
      const lines = yield* logged(
        { format: "text", level: "ERROR" },
        Effect.andThen(logAction("config", "success"), logAction("config", "fail"))
      )
      expect(lines).toHaveLength(1)
      expect(lines[0]).toContain("result: fail")
    })
  )
})

describe("json", () => {
  it.effect("has the same keys, and omits undefined values", () =>
    Effect.gen(function* () {
      const line = new ActionLine("config", "success", { port: 12_345, host: undefined })
      const lines = yield* logged({ format: "json", level: "INFO" }, Effect.logInfo(line))
      expect(lines).toHaveLength(1)
      expect(JSON.parse(lines[0]!)).toEqual({
        time: new Date(TIME).toISOString(),
        level: "INFO",
        action: "config",
        result: "success",
        port: 12_345
      })
    })
  )

  it.effect("puts plain text in message", () =>
    Effect.gen(function* () {
      const lines = yield* logged(
        { format: "json", level: "INFO" },
        Effect.logError("no such file")
      )
      expect(JSON.parse(lines[0]!)).toMatchObject({ level: "ERROR", message: "no such file" })
    })
  )

  it.effect("escapes controls, line breaks and direction changes, and keeps every character", () =>
    Effect.gen(function* () {
      const msg = "\u009b31m \u2028 \u2029 \u202e \u2069 \u200e \u007f \u0000 \\u000a é | \ud800"
      const lines = yield* logged(
        { format: "json", level: "INFO" },
        Effect.all([
          logAction("receive_message", "success", { msg }),
          Effect.logWarning(msg),
          Effect.logFatal("it failed", Cause.die(`${msg}\n`))
        ])
      )
      expect(lines.map((line) => line.split("\n").length)).toEqual([2, 2, 2])
      expect(lines.join("")).not.toMatch(/[^\P{C}\n]|[\p{Zl}\p{Zp}]/u)
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([
        { msg },
        { message: msg },
        { cause: `Error: ${msg}\n` }
      ])
    })
  )
})
