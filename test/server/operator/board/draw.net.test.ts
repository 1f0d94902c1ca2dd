/**
 * Goal: in a real browser, the board shows a whole draw as it happens, and the same as `lottery
 * status`, while agencies of every dialect upload, one is killed and comes back, one is excluded,
 * messages are refused and the server is killed. Method: Chromium, and processes of the command.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import type { DrawStanding } from "../../../../src/server/operator/DrawStanding.ts"
import * as Browser from "../../../support/browser/Browser.ts"
import * as M from "../../../support/peers/messages.ts"
import * as RawPeer from "../../../support/peers/RawPeer.ts"
import { runLottery, startLottery } from "../../../support/processes/lotteryCommand.ts"
import * as Parties from "../../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const BETS = 3000
/** With batches of one bet, its upload is still at work while the test looks. */
const SLOW_BETS = 200_000
const [NATIVE, JSON_AGENCY, BINARY, KILLED, STRAGGLER] = [1, 2, 3, 4, 5] as const
const MARKUP = "<img src=x onerror=alert(1)>"

/** What both the page and `lottery status` tell of a draw. */
interface Told {
  readonly phase: string
  readonly finished: number
  readonly bets: number
  readonly agencies: ReadonlyArray<{
    readonly agency: number
    readonly state: string
    readonly bets: number
  }>
}

/** Runs in the page. */
const READ_PAGE = `(() => {
  const valueOf = (selector) => document.querySelector(selector)?.dataset.value
  const rows = [...document.querySelectorAll("tr[data-agency]")].map((row) => ({
    agency: Number(row.dataset.agency),
    state: row.querySelector("[data-field=state]").innerText,
    bets: Number(row.querySelector("[data-field=bets]").dataset.value)
  }))
  return {
    phase: valueOf("#phase"),
    finished: Number(valueOf("#finished")),
    bets: Number(valueOf("#bets")),
    agencies: rows.sort((one, other) => one.agency - other.agency)
  }
})()`

/** Complaints of the browser about a server that is not there, which no page can prevent. */
const isOutage = (complaint: string): boolean =>
  /net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED_ENCODING)/.test(complaint)

const start = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* Parties.generate(folder, BETS)
  const slow = `${folder}/slow`
  yield* Parties.generate(slow, SLOW_BETS)
  const store = `csv:${folder}/bets.csv`
  const ports = yield* Parties.freePorts
  const { port: httpPort } = yield* Parties.freePorts
  const server = Parties.launchServer({
    store,
    ports,
    more: ["--number-from", "announced", "--http", `127.0.0.1:${httpPort}`]
  }).pipe(Effect.tap(({ logged }) => logged(Parties.LISTENS)))
  const lottery = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
    const { code, stderr, stdout } = yield* runLottery({ args: [...args, "--store", store] })
    expect(code, stderr).toBe(0)
    return stdout
  })
  const client = (
    agency: number,
    dialect: string,
    more: ReadonlyArray<string> = [],
    from = folder
  ) => startLottery({ args: [...Parties.clientArgs(from, agency, ports, dialect), ...more] })
  const slowly = (agency: number) => client(agency, "native", ["--batch", "1"], slow)

  const { complaints, origins, page } = yield* Browser.open(yield* Browser.launch, Browser.DESKTOP)
  const readPage = Effect.promise(() => page.evaluate<Told>(READ_PAGE))
  const status: Effect.Effect<Told> = Effect.map(lottery("status", "--json"), (text) => {
    const { agencies, draw, total } = JSON.parse(text) as typeof DrawStanding.Type
    return {
      phase: draw!.phase,
      finished: total.finished,
      bets: total.bets,
      agencies: agencies.map(({ agency, bets, state }) => ({ agency, state: state!, bets }))
    }
  })
  /** Waits until the page shows this. */
  const sees = (selector: string) => Effect.promise(() => page.locator(selector).first().waitFor())
  const hasState = (agency: number, state: string) =>
    sees(`tr[data-agency="${agency}"][data-state="${state}"]`)
  return {
    ...{ client, complaints, folder, lottery, origins, page, ports, readPage, sees, server },
    ...{ hasState, slowly, url: `http://127.0.0.1:${httpPort}` },
    /** The page and the command say the same, at the latest once both have looked again. */
    agree: Effect.gen(function* () {
      const told = yield* status
      expect(yield* readPage).toEqual(told)
      return told
    }).pipe(
      Effect.catchDefect((defect) => Effect.fail(defect)),
      Effect.retry({ schedule: Schedule.spaced("200 millis"), times: 100 }),
      Effect.orDie
    ),
    isAccessible: Effect.map(Browser.seriousFaults(page), (faults) => expect(faults).toEqual([]))
  }
})

Browser.describeBrowser("the board of a real draw", () => {
  it.live(
    "shows at each phase what lottery status says",
    () =>
      Effect.gen(function* () {
        const draw = yield* start
        const { agree, client, hasState, isAccessible, lottery, page, ports, sees, slowly } = draw
        const first = yield* draw.server
        yield* Effect.promise(() => page.goto(draw.url))
        yield* sees('#phase[data-value="taking bets"]')
        expect((yield* agree).bets).toBe(0)

        // Agencies in every dialect.
        const uploads = [
          yield* client(NATIVE, "native"),
          yield* client(JSON_AGENCY, "json"),
          yield* client(BINARY, "binary")
        ]
        for (const agency of [NATIVE, JSON_AGENCY, BINARY]) yield* hasState(agency, "finished")
        expect(yield* agree).toMatchObject({ finished: 3, bets: 3 * BETS })

        // An agency is killed, and another one does not finish.
        for (const agency of [KILLED, STRAGGLER]) {
          const sending = yield* slowly(agency)
          yield* sending.logged(/apuestas_enviadas/)
          yield* hasState(agency, "sending")
          yield* sending.signal("SIGKILL")
          yield* hasState(agency, "away")
        }
        const away = yield* agree
        for (const { agency, bets } of away.agencies) {
          expect(bets, `agency ${agency}`).toBeGreaterThan(0)
          expect(bets).toBeLessThan(SLOW_BETS)
        }
        yield* isAccessible

        // Messages full of markup are refused.
        const intruder = yield* RawPeer.connect(ports.port)
        yield* intruder.send(M.helloOf(9, "default", { token: MARKUP }))
        yield* intruder.rest
        const liar = yield* RawPeer.connect(ports.port)
        const named = [MARKUP, "Perez", "30904465", "1999-03-17", "x7574"]
        yield* liar.send(M.chunkOf(KILLED, [named], false))
        yield* liar.rest
        yield* sees("#refusals li:nth-child(2)")
        const refusals = yield* Effect.promise(() => page.locator("#refusals").innerText())
        expect(refusals).toMatch(/agency 9\s+UnknownAgency/)
        expect(refusals).toMatch(/InvalidBet/)
        expect(yield* Effect.promise(() => page.content())).not.toContain("onerror")

        // The server is killed and comes back.
        yield* first.signal("SIGKILL")
        yield* sees('#live[data-value="reconnecting"]')
        yield* draw.server
        yield* sees('#live[data-value="live"]')
        yield* agree

        // The killed agency comes back, and the draw goes without the other one.
        uploads.push(yield* slowly(KILLED))
        yield* hasState(KILLED, "finished")
        yield* agree
        yield* lottery("close", "--without", `${STRAGGLER}`, "--yes")
        yield* hasState(STRAGGLER, "excluded")
        yield* sees('#phase[data-value="waiting for the number"]')
        expect(yield* agree).toMatchObject({ finished: 4, bets: 3 * BETS + SLOW_BETS })

        yield* lottery("draw", "--number", "7574", "--yes")
        yield* sees('#phase[data-value="drawn"]')
        yield* sees('#winners[data-value="4"]')
        expect((yield* agree).agencies.map(({ state }) => state)).toEqual([
          ...Array(4).fill("winners sent"),
          "excluded"
        ])
        yield* isAccessible
        for (const upload of uploads) expect((yield* upload.outcome).code).toBe(0)
        expect(draw.complaints.filter((complaint) => !isOutage(complaint))).toEqual([])
        expect([...draw.origins]).toEqual([draw.url])
      }),
    120_000
  )
})
