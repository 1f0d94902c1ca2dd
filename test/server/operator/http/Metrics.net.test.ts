/**
 * Goal: the metrics say what happened. Method: agencies upload, repeat and are refused in each
 * dialect over real sockets; then each figure is compared with what was sent.
 */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import type { ExpectedAgencies } from "../../../../src/domain/Draw.ts"
import * as exchanges from "../../../support/peers/exchange.ts"
import * as M from "../../../support/peers/messages.ts"
import { get, openBoard } from "../../../support/peers/rawHttp.ts"
import * as WatchedServer from "../../../support/peers/WatchedServer.ts"
import { until } from "../../../support/stores/HeldTransaction.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const start = Effect.fnUntraced(function* (agencies: ExpectedAgencies) {
  const path = `${yield* temporaryFolder}/lottery.db`
  return yield* WatchedServer.start({ _tag: "sqlite", path }, agencies)
})

/** The figures by name and labels, as Prometheus reads them. */
const figuresOf = Effect.fnUntraced(function* (port: number) {
  const { body } = yield* get(port, "/metrics")
  const figures = new Map<string, number>()
  for (const line of body.split("\n")) {
    const [, name, value] = /^([^#\s]\S*(?:\{.*\})?) (\S+)$/.exec(line) ?? []
    if (name !== undefined) figures.set(name, Number(value))
  }
  return figures
})

/** Waits until the figures, which are shared for a moment, are as expected. */
const expectFigures = Effect.fnUntraced(function* (
  port: number,
  expected: Readonly<Record<string, number | undefined>>
) {
  let found: Record<string, number | undefined> = {}
  const look = Effect.map(figuresOf(port), (figures) => {
    found = Object.fromEntries(Object.keys(expected).map((name) => [name, figures.get(name)]))
    return JSON.stringify(found) === JSON.stringify(expected)
  })
  yield* Effect.timeoutOption(until(look), "20 seconds")
  expect(found).toEqual(expected)
})

/** Three bets that an agency's book begins with. */
const BOOK = [1, 2, 3].map((document) => M.fields(document, document === 1 ? 7574 : 1))

it.live("the metrics say what happened", () =>
  Effect.gen(function* () {
    const { httpPort, port, winnersPort } = yield* start([1, 2, 3, 4])
    const agency = (state: string) => `lottery_agencies{state="${state}"}`
    const stored = (of: number) => `lottery_bets_stored_total{agency="${of}"}`
    const repeated = (of: number) => `lottery_bets_repeated_total{agency="${of}"}`
    const refused = (reason: string) => `lottery_refusals_total{reason="${reason}"}`
    const phase = (state: string) => `lottery_draw_state{state="${state}"}`

    yield* expectFigures(httpPort, {
      [`lottery_info{version="1.2.3",node="${process.version}",store="sqlite",draw="default"}`]: 1,
      [stored(1)]: 0,
      [stored(4)]: 0,
      [agency("expected")]: 4,
      [agency("finished")]: 0,
      [phase("taking_bets")]: 1,
      [phase("sealed")]: 0,
      [phase("missed")]: 0,
      [phase("drawn")]: 0,
      [refused("InvalidBet")]: 0,
      'lottery_connections{state="identified"}': 0,
      lottery_event_streams: 0,
      lottery_close_timestamp_seconds: undefined,
      lottery_round_timestamp_seconds: undefined
    })

    // Native sends 2 bets, then the 3 of the whole book from the beginning.
    const native = yield* exchanges.dial({ port })
    native.write(Buffer.concat([M.helloOf(1), M.betsOf(0, BOOK.slice(0, 2))]))
    yield* openBoard(httpPort)
    yield* expectFigures(httpPort, {
      [stored(1)]: 2,
      'lottery_connections{state="identified"}': 1,
      lottery_event_streams: 1,
      'lottery_agency_unfinished{agency="1"}': 1
    })
    native.destroy()
    yield* Effect.forkScoped(
      exchanges.exchange(
        { port },
        Buffer.concat([M.helloOf(1), M.betsOf(2, BOOK.slice(2)), M.finishOf(BOOK), M.AWAIT_WINNERS])
      )
    )
    // Binary and JSON send everything twice; bets that equal stored ones are repeated.
    const twice = { 2: M.packetOf(2, BOOK, false), 3: M.chunkOf(3, BOOK, true) }
    for (const bytes of [twice[2], twice[3], twice[2], twice[3]]) {
      const socket = yield* exchanges.dial({ port })
      socket.write(bytes)
      yield* until(Effect.sync(() => socket.bytesRead > 0))
      socket.destroy()
    }
    const invalid = [...BOOK.slice(0, 2), ["Ana", "Perez", "x", "1999-03-17", "1"]]
    yield* exchanges.exchange({ port }, Buffer.concat([M.helloOf(4), M.betsOf(0, invalid)]))
    yield* exchanges.exchange({ port }, M.helloOf(9))
    yield* exchanges.exchange({ port }, M.helloOf(4, "another"))
    yield* expectFigures(httpPort, {
      [stored(1)]: 3,
      [repeated(1)]: 0,
      [stored(2)]: 3,
      [repeated(2)]: 3,
      [stored(3)]: 3,
      [repeated(3)]: 3,
      [stored(4)]: 0,
      [refused("InvalidBet")]: 1,
      [refused("UnknownAgency")]: 1,
      [refused("WrongDraw")]: 1,
      [agency("finished")]: 3,
      [agency("excluded")]: 0,
      [agency("winners_sent")]: 0,
      'lottery_agency_unfinished{agency="1"}': 0,
      'lottery_agency_unfinished{agency="4"}': 1,
      [phase("taking_bets")]: 1
    })

    const answer = yield* exchanges.exchange({ port }, exchanges.BOOKS.native(4))
    expect(exchanges.winnersIn.native(answer)).toEqual(exchanges.expectedWinners(4).native)
    yield* exchanges.exchange({ port: winnersPort }, M.consultOf(3))
    yield* expectFigures(httpPort, {
      [stored(4)]: 1,
      [agency("finished")]: 4,
      [agency("winners_sent")]: 3,
      [phase("taking_bets")]: 0,
      [phase("drawn")]: 1
    })
  }).pipe(Effect.scoped)
)

it.live("a draw with more than 1,000 agencies has totals only", () =>
  Effect.gen(function* () {
    const rest = Array.from({ length: 1000 }, (_, index) => index + 2)
    const { httpPort, port } = yield* start([1, ...rest])
    for (const agency of [1, 2]) {
      const socket = yield* exchanges.dial({ port })
      socket.write(Buffer.concat([M.helloOf(agency), M.betsOf(0, BOOK)]))
    }
    yield* expectFigures(httpPort, {
      lottery_bets_stored_total: 6,
      lottery_bets_repeated_total: 0,
      'lottery_agencies{state="expected"}': 1001,
      'lottery_bets_stored_total{agency="1"}': undefined,
      'lottery_agency_unfinished{agency="1"}': undefined
    })
  }).pipe(Effect.scoped)
)
