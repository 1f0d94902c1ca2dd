/**
 * Goal: the pictures of the board in the README show the board as it is, and stay small. Method:
 * Chromium shows an evening of a made-up draw; LOTTERY_PICTURES names the folder to keep the
 * pictures in, such as docs.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as BoardServer from "../../../support/browser/BoardServer.ts"
import * as Browser from "../../../support/browser/Browser.ts"
import * as Events from "../../../support/browser/liveEvents.ts"

const MAX_BYTES = 200_000
const MINUTE = 60_000

const FINISHED = [184_210, 92_655, 240_018, 131_377, 88_240]

/** Agencies come and go within ten minutes, and so does the rate. */
const rateAt = (index: number): number => {
  const waves = [
    { from: 12, until: 95, rate: 5200 },
    { from: 60, until: 170, rate: 7400 },
    { from: 130, until: 240, rate: 9100 },
    { from: 205, until: 300, rate: 6300 },
    { from: 262, until: 300, rate: 4800 }
  ]
  const busy = waves.filter(({ from, until }) => index >= from && index < until)
  const sum = busy.reduce((total, { rate }) => total + rate, 0)
  return Math.round(sum * (0.93 + 0.05 * Math.sin(index / 2.7) + 0.03 * Math.sin(index * 1.9)))
}

const evening = (now: number) => {
  const sending = [
    Events.sendingOf(3, 412_600, { bookBets: 520_000, perSecond: 6120, lastActivity: now - 300 }),
    Events.sendingOf(7, 61_904, { bookBets: 300_000, perSecond: 4470, lastActivity: now - 800 }),
    Events.sendingOf(8, 17_250, { perSecond: 260, lastActivity: now - 1900 })
  ]
  const away = Events.agencyOf(5, {
    bets: 98_300,
    bookBets: 145_000,
    lastActivity: now - 4 * MINUTE - 12_000
  })
  const finished = FINISHED.map((bets, index) => ({
    ...Events.finishedOf([1, 2, 4, 6, 9][index]!, bets),
    lastActivity: now - (index + 1) * 1.7 * MINUTE
  }))
  return {
    standing: Events.standingOf([...sending, away, ...finished, Events.excludedOf(10, 2100)], now, {
      closesAt: now + 23 * MINUTE + 41_000
    }),
    server: Events.serverOf(now, { connections: 8, commitMillis: 2.3 }),
    rates: {
      everyMillis: 2000,
      until: now,
      perSecond: Array.from({ length: 300 }, (_, index) => rateAt(index))
    },
    refusals: [
      { id: 1, at: now - 6 * MINUTE, agency: null, reason: "Malformed", position: null },
      { id: 2, at: now - 4.1 * MINUTE, agency: 8, reason: "InvalidBet", position: 16_999 }
    ]
  }
}

const PICTURES = [
  ["board.png", Browser.DESKTOP],
  ["board-phone.png", Browser.PHONE]
] as const

Browser.describeBrowser("a picture of the board", () => {
  it.live.each(PICTURES)("fits in the README: %s", ([file, window]) =>
    Effect.gen(function* () {
      const server = yield* BoardServer.start
      const { complaints, page } = yield* Browser.open(yield* Browser.launch, window)
      const events = evening(Date.now())
      yield* Effect.promise(() => page.goto(server.url))
      server.send("standing", events.standing)
      server.send("server", events.server)
      server.send("rates", events.rates)
      server.send("refusals", events.refusals)
      yield* Effect.promise(() => page.locator("#refusals li").first().waitFor())
      const picture = yield* Effect.promise(() =>
        page.screenshot({ fullPage: window !== Browser.PHONE })
      )
      expect(picture.length).toBeLessThan(MAX_BYTES)
      expect(complaints).toEqual([])
      const folder = process.env.LOTTERY_PICTURES
      if (folder !== undefined) writeFileSync(join(folder, file), picture)
    })
  )
})
