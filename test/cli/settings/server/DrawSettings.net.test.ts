/**
 * Goal: settings of a draw that contradict each other, or would have no effect, are refused before
 * anything else happens; the others become the terms of the draw. Method: the built server, and the
 * settings themselves.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { describe, expect } from "vitest"
import * as DrawSettings from "../../../../src/cli/settings/server/DrawSettings.ts"
import { timeOfRound } from "../../../../src/domain/seal/Quicknet.ts"
import { runLottery } from "../../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const DRAND = ["--number-from", "drand"]
const CLOSE = ["--close-at", "2030-01-01T12:00:00Z"]

const LATE = "draw-at needs a close-at that is at least a minute earlier"
const REFUSED: ReadonlyArray<readonly [args: ReadonlyArray<string>, line: string]> = [
  [[...DRAND, "--winning-number", "5"], "winning-number cannot be used with number-from drand"],
  [
    [...CLOSE, "--draw-at", "2030-01-01T13:00:00Z"],
    "draw-at cannot be used with number-from fixed"
  ],
  [
    ["--number-from", "announced", "--draw-delay", "5m"],
    "draw-delay cannot be used with number-from announced"
  ],
  [["--drand-url", "https://a.example"], "drand-url cannot be used with number-from fixed"],
  [
    [...DRAND, ...CLOSE, "--draw-at", "2030-01-01T13:00:00Z", "--draw-delay", "5m"],
    "draw-at and draw-delay cannot be used together"
  ],
  [[...DRAND, "--draw-at", "2030-01-01T13:00:00Z"], LATE],
  [[...DRAND, ...CLOSE, "--draw-at", "2030-01-01T12:00:59Z"], LATE],
  [[...DRAND, ...CLOSE, "--draw-at", "2030-01-01T11:00:00Z"], LATE]
]

describe("lottery server refuses", () => {
  it.live.each(REFUSED)("%s", ([args, line]) =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const outcome = yield* runLottery({
        args: ["server", "--port", "0", "--store", `sqlite:${path}`, ...args]
      })
      expect(outcome).toEqual({ code: 2, stdout: "", stderr: `lottery: ${line}\n` })
      expect(existsSync(path)).toBe(false)
    })
  )
})

const NONE = Option.none()
const GIVEN = {
  draw: NONE,
  numberFrom: "drand",
  winningNumber: NONE,
  closeAt: NONE,
  drawAt: NONE,
  drawDelay: NONE,
  drandUrl: NONE
} as const

/** Round 1000 is published at this time, in milliseconds. */
const ROUND_AT = 1000 * timeOfRound(1000)
const MINUTE_MILLIS = 60_000

describe("the source of the number", () => {
  it.effect("is the first round at --draw-at or after it", () =>
    Effect.gen(function* () {
      for (const [at, round] of [
        [ROUND_AT, 1000],
        [ROUND_AT + 1000, 1001],
        [ROUND_AT - 1000, 1000]
      ] as const) {
        const closeAt = at - MINUTE_MILLIS
        const draw = yield* DrawSettings.read([1, 2], {
          ...GIVEN,
          closeAt: Option.some(closeAt),
          drawAt: Option.some(at)
        })
        expect(draw).toMatchObject({ id: "default", closeAt, source: { at: { round } } })
      }
    })
  )

  it.effect("is a round after the delay, five minutes by default", () =>
    Effect.gen(function* () {
      const sourceOf = (drawDelay: Option.Option<Duration.Duration>) =>
        Effect.map(DrawSettings.read([1], { ...GIVEN, drawDelay }), ({ source }) => source)
      expect(yield* sourceOf(NONE)).toEqual({ _tag: "drand", at: { delaySeconds: 300 } })
      expect(yield* sourceOf(Option.some(Duration.seconds(1)))).toEqual({
        _tag: "drand",
        at: { delaySeconds: 1 }
      })
    })
  )
})
