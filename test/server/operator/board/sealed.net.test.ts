/**
 * Goal: in a real browser, the board of a sealed draw shows each of its phases, and `lottery
 * status`, /readyz and the metrics say the same; the published files are those of the commands.
 * Method: Chromium, and processes of the command.
 */
import { generateKeyPairSync } from "node:crypto"
import { writeFileSync } from "node:fs"
import { expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { showTime } from "../../../../src/domain/Draw.ts"
import { DrawStanding } from "../../../../src/server/operator/DrawStanding.ts"
import * as Browser from "../../../support/browser/Browser.ts"
import * as rawHttp from "../../../support/peers/rawHttp.ts"
import { runLottery, startLottery } from "../../../support/processes/lotteryCommand.ts"
import * as Parties from "../../../support/processes/lotteryParties.ts"
import { until } from "../../../support/stores/HeldTransaction.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const DRAW = "christmas-2026"
const decodeStanding = Schema.decodeSync(Schema.fromJsonString(DrawStanding))

/** Starts a server with one agency and a browser at its board. */
const start = Effect.fnUntraced(function* (...more: ReadonlyArray<string>) {
  const folder = yield* temporaryFolder
  yield* Parties.generate(folder, 500, 7, 1)
  const key = `${folder}/seal.pem`
  const { privateKey } = generateKeyPairSync("ed25519")
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }))
  const store = `sqlite:${folder}/lottery.db`
  const server = yield* Parties.startServer({
    store,
    more: [
      ...["--agencies", "1", "--draw", DRAW, "--http", "127.0.0.1:0"],
      ...["--seal-key", key, "--seal-name", "lottery.example", ...more]
    ]
  })
  const [, httpPort] = yield* server.logged(/listen_http .*url: http:\/\/127\.0\.0\.1:(\d+)/)
  const url = `http://127.0.0.1:${httpPort}`
  const { complaints, page } = yield* Browser.open(yield* Browser.launch, Browser.DESKTOP)
  yield* Effect.promise(() => page.goto(url))
  const lottery = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
    const of = ["--store", store, "--draw", DRAW]
    const { code, stderr, stdout } = yield* runLottery({ args: [...args, ...of] })
    expect(code, stderr).toBe(0)
    return stdout
  })
  const get = (path: string) => rawHttp.get(Number(httpPort), path)
  return {
    complaints,
    get,
    lottery,
    upload: startLottery({
      args: [...Parties.clientArgs(folder, 1, server, "native"), "--draw", DRAW]
    }),
    /** Waits until the board, the metrics, /readyz and `lottery status` are in a phase. */
    isIn: Effect.fnUntraced(function* (phase: string, ready: string = phase) {
      const selector = `#phase[data-value="${phase}"]`
      yield* Effect.promise(() => page.locator(selector).waitFor())
      yield* until(Effect.map(get("/readyz"), ({ body }) => body === `${ready}\n`))
      const series = `\nlottery_draw_state{state="${phase.replaceAll(" ", "_")}"} 1\n`
      yield* until(Effect.map(get("/metrics"), ({ body }) => body.includes(series)))
      const { draw } = decodeStanding(yield* lottery("status", "--json"))
      expect(draw?.phase).toBe(phase)
      return draw!
    }),
    textOf: (selector: string) => Effect.promise(() => page.locator(selector).innerText()),
    shownIn: (selector: string) =>
      Effect.promise(async () => Number(await page.locator(selector).getAttribute("data-value")))
  }
})

Browser.describeBrowser("the board of a real sealed draw", () => {
  it.live(
    "shows the seal, then the number, and links to what is published",
    () =>
      Effect.gen(function* () {
        const draw = yield* start("--number-from", "announced", "--publish-seal")
        const { get, isIn, lottery, textOf, shownIn } = draw
        yield* isIn("taking bets", "ready")
        expect((yield* get("/draw/seal")).status).toBe(404)
        const client = yield* draw.upload
        const { sealedAt } = yield* isIn("sealed")
        expect(yield* shownIn("#sealed")).toBe(sealedAt)
        expect(yield* textOf(".facts")).toContain("waiting for the number")
        expect(yield* lottery("status")).toContain(
          "not known yet, sealed, waiting for the number\n"
        )
        yield* until(Effect.map(get("/draw/seal"), ({ status }) => status === 200))
        expect(yield* textOf(".facts a")).toBe("seal of the draw")
        expect((yield* get("/draw/result")).status).toBe(404)

        yield* lottery("draw", "--number", "7574", "--yes")
        yield* isIn("drawn")
        expect(yield* shownIn("#number")).toBe(7574)
        expect((yield* client.outcome).code).toBe(0)
        for (const name of ["seal", "result"]) {
          yield* until(Effect.map(get(`/draw/${name}`), ({ status }) => status === 200))
          const { body } = yield* get(`/draw/${name}`)
          expect(Buffer.from(body, "latin1").toString()).toBe(yield* lottery(name))
        }
        expect(draw.complaints).toEqual([])
      }),
    60_000
  )

  it.live(
    "counts down to the round of drand",
    () =>
      Effect.gen(function* () {
        const draw = yield* start("--number-from", "drand", "--draw-delay", "1h")
        yield* draw.upload
        const { round, roundAt, sealedAt } = yield* draw.isIn("sealed")
        expect(roundAt! - sealedAt!).toBeGreaterThanOrEqual(3_600_000)
        expect(yield* draw.shownIn("#round")).toBe(round)
        expect(yield* draw.textOf("#round")).toMatch(/, due in (1 h 00|59) min/)
        expect(yield* draw.lottery("status")).toContain(
          `sealed, waiting for round ${round} until ${showTime(roundAt!)}, in `
        )
        const { body } = yield* draw.get("/metrics")
        expect(body).toContain(`\nlottery_round_timestamp_seconds ${roundAt! / 1000}\n`)
        expect((yield* draw.get("/draw/seal")).status).toBe(404)
        expect(draw.complaints).toEqual([])
      }),
    60_000
  )

  it.live(
    "says that its round was missed",
    () =>
      Effect.gen(function* () {
        const closed = ["--close-at", "2026-01-01T00:00:00Z", "--draw-at", "2026-01-01T00:01:00Z"]
        const draw = yield* start("--number-from", "drand", ...closed)
        const { round } = yield* draw.isIn("missed")
        expect(yield* draw.textOf("[role=alert]")).toContain(`before round ${round} was published`)
        expect(yield* draw.lottery("status")).toContain(
          `missed: the books were not closed before round ${round}, published at 2026-01-01T00:01:`
        )
        expect(draw.complaints).toEqual([])
      }),
    60_000
  )
})
