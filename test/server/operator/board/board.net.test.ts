/**
 * Goal: in a real browser, the board shows what its server says and nothing else, keeps to the
 * server's security policy, comes back after an interruption, and is accessible. Method:
 * Chromium loads the built board from a scripted server, which sends events of a made-up draw.
 */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Page } from "playwright-core"
import { MAX_SILENCE_MILLIS } from "../../../../src/server/operator/LiveLimits.ts"
import * as BoardServer from "../../../support/browser/BoardServer.ts"
import * as Browser from "../../../support/browser/Browser.ts"
import * as Events from "../../../support/browser/liveEvents.ts"

const { agencyOf, excludedOf, finishedOf, sendingOf, serverOf, standingOf, toldOf } = Events

const start = Effect.fnUntraced(function* (window: Browser.Window = Browser.DESKTOP) {
  const server = yield* BoardServer.start
  const watched = yield* Browser.open(yield* Browser.launch, window)
  const { page } = watched
  const act = <A>(action: (page: Page) => Promise<A>) => Effect.promise(() => action(page))
  return {
    server,
    ...watched,
    act,
    load: act((page) => page.goto(server.url)),
    /** Waits until an element with this raw value is visible. */
    sees: (selector: string, value: string | number) =>
      act((page) => page.locator(`${selector}[data-value="${value}"]`).waitFor()),
    textOf: (selector: string) => act((page) => page.locator(selector).innerText()),
    countOf: (selector: string) => act((page) => page.locator(selector).count()),
    evaluate: (expression: string): Effect.Effect<unknown> =>
      act((page) => page.evaluate(expression))
  }
})

const now = Date.now()
const rates = {
  everyMillis: 2000,
  until: now,
  perSecond: Array.from({ length: 300 }, (_, index) => 1000 + 900 * Math.sin(index / 9))
}
const taking = standingOf(
  [
    sendingOf(1, 310, { bookBets: 500, perSecond: 91.4, lastActivity: now - 3000 }),
    agencyOf(2, { bets: 48 }),
    finishedOf(3, 1204),
    excludedOf(4, 40)
  ],
  now,
  { closesAt: now + 3_600_000 }
)

Browser.describeBrowser("the board in Chromium", () => {
  it.live("follows a draw from before it is open to its end", () =>
    Effect.gen(function* () {
      const board = yield* start()
      const { act, countOf, page, sees, server, textOf } = board
      yield* board.load
      expect(yield* textOf("#phase")).toBe("Connecting…")
      expect(yield* countOf("#finished, #close, #number, #winners, #excluded")).toBe(0)

      server.send("standing", standingOf([], now, {}, { draw: null }))
      yield* sees("#phase", "the draw is not open yet")
      expect(yield* textOf("#live")).toBe("live")
      expect(yield* textOf("#refusals")).toContain("none so far")

      server.send("server", serverOf(now, { connections: 7, commitMillis: 3.44 }))
      expect(yield* textOf("[role=alert]")).toBe("")
      server.send("server", serverOf(now, { problem: "the store is unavailable" }))
      yield* act(() => page.getByRole("alert").getByText("the store is unavailable").waitFor())
      server.send("server", serverOf(now, { connections: 7, commitMillis: 3.44 }))
      server.send("rates", rates)
      server.send("standing", taking)
      yield* sees("#phase", "taking bets")
      yield* sees("#commit", 3.44)
      yield* sees("#connections", 7)
      yield* sees("#bets", 1562)
      expect(yield* textOf("#bets")).toBe("1,562")
      yield* sees("#rate", 91.4)
      expect(yield* textOf("#rates-text")).toMatch(/^highest 1,900 per second in/)
      yield* sees("#close", now + 3_600_000)
      expect(yield* textOf("#close")).toMatch(/^closes in (1 h 00|59) min.*, at .*\d\d:\d\d:\d\d$/)
      expect(yield* textOf("#finished")).toBe("1 of 3 agencies has finished")
      expect(yield* textOf("#excluded")).toBe("1 excluded")
      expect(yield* act(() => page.title())).toBe("taking bets 1/3 · christmas-2026")

      const cells = (agency: number) =>
        act(() => page.locator(`tr[data-agency="${agency}"] [data-field]`).allInnerTexts())
      expect((yield* cells(1)).slice(0, 4)).toEqual(["sending", "310", "62% of 500", "91.4/s"])
      expect(yield* cells(2)).toEqual(["away", "48", "length unknown", "0/s", "–"])
      expect((yield* cells(3)).slice(0, 3)).toEqual(["finished", "1,204", "100% of 1,204"])
      expect((yield* cells(4)).slice(0, 3)).toEqual(["excluded", "40", "not counted"])
      expect(yield* textOf('tr[data-agency="1"] [data-field=last]')).toMatch(/^\d+ s ago$/)
      const numbers = act(() => page.locator("tbody th").allInnerTexts())
      expect(yield* numbers).toEqual(["1", "2", "3", "4"])

      const { total } = standingOf(
        [finishedOf(1, 500), finishedOf(2, 48), finishedOf(3, 1204)],
        now
      )
      const partial = { whole: false, total: { ...total, agencies: 4, excluded: 1 } }
      const closed = standingOf([finishedOf(1, 500)], now, { phase: "closed" }, partial)
      server.send("standing", closed)
      yield* sees("#phase", "closed")
      yield* sees('tr[data-agency="1"] [data-field=bets]', 500)
      expect(yield* numbers).toEqual(["2", "1", "3", "4"])
      expect(yield* countOf("#close")).toBe(0)
      expect(yield* textOf('[role="status"]')).toBe("The draw: closed.")

      const waiting = standingOf(closed.agencies, now, { phase: "waiting for the number" })
      server.send("standing", waiting)
      yield* sees("#phase", "waiting for the number")

      const told = [toldOf(1, 500), finishedOf(2, 48)]
      const end = { phase: "drawn", held: true, winningNumber: 7574 } as const
      server.send("standing", standingOf(told, now, end))
      yield* sees("#phase", "drawn")
      yield* sees("#number", 7574)
      yield* sees("#winners", 1)
      expect(yield* textOf("#winners")).toBe("winners sent to 1 of 2")
      expect(yield* textOf('tr[data-agency="1"] [data-field=state]')).toBe("winners sent")
      expect(board.complaints).toEqual([])
      expect([...board.origins]).toEqual([new URL(server.url).origin])
    })
  )

  it.live("follows a sealed draw from its seal to its result", () =>
    Effect.gen(function* () {
      const board = yield* start()
      const { act, countOf, page, sees, server, textOf } = board
      const [sealedAt, roundAt, round] = [now - 60_000, now + 3_600_000, 16_000_000]
      const done = [finishedOf(1, 500), finishedOf(2, 48)]
      const links = act(() => page.locator(".facts a").evaluateAll((all) => all.map(String)))
      const looksLike = (sign: string, color: string) =>
        Effect.gen(function* () {
          const styles =
            "[getComputedStyle(phase, '::before').content, getComputedStyle(phase).color]"
          expect(yield* board.evaluate(styles)).toEqual([`"${sign}" / ""`, color])
        })
      yield* board.load
      server.send("server", serverOf(now))
      server.send("standing", standingOf(done, now, { phase: "sealed", sealedAt }))
      yield* sees("#phase", "sealed")
      expect(yield* textOf("#phase")).toBe("Sealed")
      yield* looksLike("◆", "rgb(11, 98, 196)")
      yield* sees("#sealed", sealedAt)
      expect(yield* textOf("#sealed")).toMatch(/^sealed at .*\d\d:\d\d:\d\d$/)
      expect(yield* textOf(".facts")).toContain("waiting for the number")
      expect(yield* textOf('[role="status"]')).toBe("The draw: sealed.")

      const waiting = { phase: "sealed", sealedAt, round, roundAt } as const
      server.send("standing", standingOf(done, now, waiting))
      yield* sees("#round", round)
      expect(yield* textOf("#round")).toMatch(
        /^waiting for round 16000000, due in (1 h 00|59) min.*, at .*\d\d:\d\d:\d\d$/
      )
      expect(yield* textOf(".facts")).not.toContain("waiting for the number")
      expect(yield* act(() => page.title())).toBe("sealed 2/2 · christmas-2026")

      // A round that is late, in a draw without a key.
      const late = { phase: "waiting for the number", round, roundAt: now - 1000 } as const
      server.send("standing", standingOf(done, now, late))
      yield* sees("#phase", "waiting for the number")
      expect(yield* textOf("#round")).toMatch(/^waiting for round 16000000, due since .*\d\d:\d\d$/)
      expect(yield* countOf("#sealed")).toBe(0)
      expect(yield* links).toEqual([])

      server.send("server", serverOf(now, { publishesSeal: true }))
      server.send("standing", standingOf(done, now, waiting))
      yield* act(() => page.locator(".facts a").waitFor())
      expect(yield* links).toEqual([`${server.url}draw/seal`])
      const drawn = { ...waiting, phase: "drawn", held: true, winningNumber: 6286 } as const
      server.send("standing", standingOf([toldOf(1, 500), toldOf(2, 48)], now, drawn))
      yield* sees("#number", 6286)
      yield* looksLike("★", "rgb(23, 112, 58)")
      expect(yield* countOf("#round")).toBe(0)
      expect(yield* links).toEqual([`${server.url}draw/seal`, `${server.url}draw/result`])
      expect(yield* act(() => page.locator(".facts a").last().getAttribute("download"))).toBe(
        "christmas-2026.result"
      )

      const missed = standingOf([agencyOf(1)], now, { phase: "missed", round, roundAt: now - 1000 })
      server.send("standing", missed)
      yield* sees("#phase", "missed")
      yield* looksLike("×", "rgb(179, 38, 30)")
      const problem =
        "The books were not closed before round 16000000 was published: only another draw helps"
      expect(yield* textOf("[role=alert]")).toBe(problem)
      server.send("server", serverOf(now, { problem: "the store is unavailable" }))
      yield* act(() => page.getByRole("alert").getByText("the store is unavailable").waitFor())
      expect(yield* textOf("[role=alert]")).toBe(`${problem}; the store is unavailable`)
      expect(board.complaints).toEqual([])
    })
  )

  it.live("shows texts of the server as texts, also those that it does not know", () =>
    Effect.gen(function* () {
      const board = yield* start()
      const { act, page, sees, server, textOf } = board
      const markup = "<img src=x onerror=alert(1)>"
      // A later server may send what this board's types do not know.
      const strange = JSON.stringify(taking)
        .replace('"phase":"taking bets"', `"phase":"sealed ${markup}"`)
        .replace('"state":"sending"', `"state":"resting ${markup}"`)
      server.send("standing", JSON.parse(strange))
      server.send("server", serverOf(now, { version: markup }))
      server.send("refusals", [
        { id: 1, at: now, agency: 3, reason: "InvalidBet", position: 1200 },
        { id: 2, at: now, agency: null, reason: markup, position: null }
      ])
      yield* board.load
      yield* sees("#phase", `sealed ${markup}`)
      expect(yield* textOf("#phase")).toBe(`Sealed ${markup}`)
      expect(yield* textOf('tr[data-agency="1"] [data-field=state]')).toBe(`resting ${markup}`)
      const refusals = yield* act(() => page.locator("#refusals li").allInnerTexts())
      expect(refusals).toHaveLength(2)
      expect(refusals[0]).toMatch(/unidentified\s+<img src=x onerror=alert\(1\)>/)
      expect(refusals[1]).toMatch(/agency 3\s+InvalidBet\s+position 1,200/)
      expect(yield* textOf("footer")).toBe(`lottery ${markup}`)
      expect(yield* board.countOf("img, main script")).toBe(0)
      expect(board.complaints).toEqual([])
      expect([...board.origins]).toEqual([new URL(server.url).origin])
    })
  )

  it.live("says that it has lost its server, and is right again when it is back", () =>
    Effect.gen(function* () {
      const { load, sees, server, textOf } = yield* start()
      server.send("standing", taking)
      yield* load
      yield* sees("#live", "live")
      server.breakStreams("away")
      yield* sees("#live", "reconnecting")
      expect(yield* textOf('[role="status"]')).toBe("Connection lost, reconnecting.")
      expect(yield* textOf("#as-of")).toMatch(/^as of .*\d\d:\d\d:\d\d$/)
      yield* sees("#bets", 1562)
      server.send("standing", standingOf([finishedOf(9, 77)], now))
      // A browser never tries again by itself after such an answer.
      server.setMood("refusing")
      const before = server.streams()
      while (server.streams() === before) yield* Effect.sleep("20 millis")
      server.setMood("open")
      yield* sees("#live", "live")
      yield* sees("#bets", 77)
      expect(yield* textOf('[role="status"]')).toBe("Connected again.")
      expect(yield* textOf("#as-of")).toBe("")
    })
  )

  it.live("opens a stream again that has died without an end", () =>
    Effect.gen(function* () {
      const { act, load, page, sees, server } = yield* start()
      yield* act(() => page.clock.install())
      server.send("standing", taking)
      yield* load
      yield* sees("#live", "live")
      server.setMood("silent")
      yield* act(() => page.clock.fastForward(2 * MAX_SILENCE_MILLIS))
      yield* sees("#live", "live")
      server.send("server", serverOf(now))
      yield* act(() => page.clock.fastForward(MAX_SILENCE_MILLIS))
      yield* sees("#live", "reconnecting")
      server.setMood("open")
      yield* act(() => page.clock.fastForward(3 * MAX_SILENCE_MILLIS))
      yield* sees("#live", "live")
      yield* sees("#commit", 3.4)
    })
  )

  const scenes: Readonly<Record<string, (server: BoardServer.BoardServer) => void>> = {
    "a draw that is not open": ({ send }) => {
      send("standing", standingOf([], now, {}, { draw: null }))
    },
    "a draw that takes bets": ({ send }) => {
      send("standing", taking)
      send("server", serverOf(now))
      send("rates", rates)
      send("refusals", [
        { id: 1, at: now - 90_000_000, agency: 2_147_483_647, reason: "InvalidBet", position: 4e9 },
        { id: 2, at: now, agency: null, reason: "x".repeat(200), position: null }
      ])
    },
    "a sealed draw that waits for its round": ({ send }) => {
      const waiting = { sealedAt: now - 90_000_000, round: 9e15, roundAt: now + 3_600_000 }
      send("standing", standingOf([finishedOf(1, 5)], now, { phase: "sealed", ...waiting }))
      send("server", serverOf(now, { publishesSeal: true }))
    },
    "a missed draw": ({ send }) => {
      const missed = { phase: "missed", round: 9e15, roundAt: now - 1000 } as const
      send("standing", standingOf([sendingOf(1, 5)], now, missed))
    },
    "a large draw with large numbers": ({ send }) => {
      const large = (_: unknown, index: number) =>
        toldOf(2_147_483_647 - index, 4_000_000_000 - index)
      const end = { phase: "drawn", held: true, winningNumber: 0, id: "x".repeat(64) } as const
      send("standing", standingOf(Array.from({ length: 60 }, large), now, end))
      send("server", serverOf(now, { connections: 10_000, commitMillis: 12_345 }))
    }
  }
  const windows = [Browser.DESKTOP, Browser.PHONE].flatMap((window) =>
    (["light", "dark"] as const).map((colorScheme) => ({ ...window, colorScheme }))
  )

  it.live.each(windows)("is accessible and fits: $width pixels, $colorScheme", (window) =>
    Effect.gen(function* () {
      const board = yield* start(window)
      for (const [name, play] of Object.entries(scenes)) {
        play(board.server)
        yield* board.load
        yield* board.sees("#live", "live")
        expect(yield* Browser.seriousFaults(board.page), name).toEqual([])
        const width = yield* board.evaluate("document.documentElement.scrollWidth")
        expect(width, name).toBe(window.width)
      }
      expect(board.complaints).toEqual([])
    })
  )

  it.live("draws its plot again in another colour scheme and another width", () =>
    Effect.gen(function* () {
      const { act, evaluate, load, page, sees, server } = yield* start()
      server.send("standing", taking)
      server.send("rates", rates)
      yield* load
      yield* sees("#live", "live")
      const picture = evaluate("document.querySelector('#plot canvas').toDataURL()")
      const changed = Effect.fnUntraced(function* (before: unknown) {
        for (;;) {
          const after = yield* picture
          if (after !== before) return after
          yield* Effect.sleep("20 millis")
        }
      }, Effect.timeout("20 seconds"))
      const light = yield* picture
      yield* act(() => page.emulateMedia({ colorScheme: "dark" }))
      const dark = yield* changed(light)
      yield* act(() => page.setViewportSize(Browser.PHONE))
      yield* changed(dark)
      expect(yield* evaluate("document.documentElement.scrollWidth")).toBe(Browser.PHONE.width)
    })
  )

  it.live("lists some of ten thousand agencies and finds each by its number or state", () =>
    Effect.gen(function* () {
      const { act, countOf, load, page, sees, server, textOf } = yield* start()
      const all = Array.from({ length: 10_000 }, (_, index) =>
        index % 5 === 0 ? finishedOf(index + 1, 90) : sendingOf(index + 1, 50, { bookBets: 90 })
      )
      server.send("standing", standingOf(all, now))
      yield* load
      yield* sees("#live", "live")
      expect(yield* countOf("tbody tr")).toBe(200)
      expect(yield* textOf("#shown")).toBe("200 of 10,000 shown; filter to see others")

      yield* act(() => page.keyboard.press("Tab"))
      yield* act(() => page.keyboard.type("9996"))
      yield* act(() => page.locator("tbody tr").nth(1).waitFor({ state: "detached" }))
      expect(yield* textOf("tbody th")).toBe("9996")
      expect(yield* textOf("#shown")).toBe("1 of 10,000 match")
      // A change while a person types disturbs neither the filter nor the focus.
      server.send("standing", standingOf([finishedOf(9996, 91)], now, {}, { whole: false }))
      yield* sees('tr[data-agency="9996"] [data-field=bets]', 91)
      yield* act(() => page.keyboard.press("Backspace"))
      yield* act(() => page.locator("tbody tr").nth(10).waitFor())
      expect(yield* countOf("tbody tr")).toBe(11)

      server.send("standing", standingOf([], now, {}, { listed: false }))
      yield* act(() => page.getByText("This draw has too many agencies to list.").waitFor())
      expect(yield* countOf("table")).toBe(0)
    })
  )
})
