/** Goal: HTTP says what it cannot show, and to whom it shows the rest. */
import { describe, expect, it } from "@effect/vitest"
import { Array as Arr, Effect, Schedule } from "effect"
import { MAX_LISTED_AGENCIES } from "../../../../src/server/operator/DrawStanding.ts"
import * as rawHttp from "../../../support/peers/rawHttp.ts"
import * as WatchedServer from "../../../support/peers/WatchedServer.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const csv = Effect.map(temporaryFolder, (folder) => {
  return { _tag: "csv", path: `${folder}/bets.csv` } as const
})

describe("a draw of too many agencies to list", () => {
  it.live("has totals on the board, and no standing as JSON", () =>
    Effect.gen(function* () {
      const agencies = Arr.range(1, MAX_LISTED_AGENCIES + 1)
      const { httpPort } = yield* WatchedServer.start(yield* csv, agencies)
      const { body, status } = yield* rawHttp.get(httpPort, "/api/standing")
      expect(status).toBe(501)
      expect(body).toContain("use lottery status --json")
      const board = yield* rawHttp.openBoard(httpPort)
      yield* Effect.suspend(() => Effect.succeed(board.text())).pipe(
        Effect.repeat({
          until: (text) => text.includes("event: standing"),
          schedule: Schedule.spaced("10 millis")
        })
      )
      expect(board.text()).toContain('"listed":false')
      expect(board.text()).toContain('"agencies":[],"total":{"bets":0,"agencies":10001')
    })
  )
})

describe("the log", () => {
  const logAt = Effect.fnUntraced(function* (host: string) {
    const { log } = yield* WatchedServer.start(yield* csv, [1], { http: { host } })
    return log.filter((line) => line.includes("can watch the draw"))
  })

  it.live("warns of HTTP beyond loopback", () =>
    Effect.gen(function* () {
      expect(yield* logAt("127.0.0.1")).toEqual([])
      expect(yield* logAt("0.0.0.0")).toHaveLength(1)
    })
  )
})
