/** The two formats of the log, on a clock that stands still. */
import { it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { type LogChoice, makeLogger } from "../../src/cli/LogFormat.ts"
import { ActionLine, logAction } from "../../src/domain/ActionLog.ts"

// Local time: the course's own example, wherever the test runs.
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

  it.effect("names levels as Python does, in eight columns", () =>
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

  it.effect("keeps a peer's text from beginning a line of its own", () =>
    Effect.gen(function* () {
      const lines = yield* logged(
        { format: "text", level: "INFO" },
        logAction("receive_message", "success", { msg: "a\n2023 b\u2028c" })
      )
      expect(lines).toHaveLength(1)
      expect(lines[0]).toContain("msg: a\\u000a2023 b\\u2028c\n")
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
  it.effect("has the same keys, and leaves out what is undefined", () =>
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
})
