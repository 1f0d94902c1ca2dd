/**
 * Goal: servers that share a draw look like one server to the agencies, even if any of them or
 * PostgreSQL dies. Method: processes on the test's own PostgreSQL. The servers are behind one port,
 * as with a load balancer, so that an agency that loses one reconnects to another. At the end all
 * stored books are compared with the sent ones.
 */
import { it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Random, type Scope } from "effect"
import { expect } from "vitest"
import { makeProxy } from "../support/peers/TcpProxy.ts"
import {
  type Outcome,
  type Running,
  runLottery,
  startLottery
} from "../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  exported,
  freePorts,
  generate,
  heldBets,
  type Ports,
  startServer,
  winnersOf
} from "../support/processes/lotteryParties.ts"
import {
  describeCluster,
  freshSchema,
  type PostgresCluster,
  query
} from "../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const DIALECTS = ["native", "json", "native", "binary"] as const
const dialectOf = (agency: number) => DIALECTS[agency % DIALECTS.length]!

/** Balances one port for bets and one for winners over all servers. */
const balance = Effect.fnUntraced(function* (servers: ReadonlyArray<Ports>) {
  const random = () => Effect.runSync(Random.next)
  const [bets, winners] = yield* Effect.all([
    makeProxy({ random, targets: () => servers.map(({ port }) => port) }),
    makeProxy({ random, targets: () => servers.map(({ winnersPort }) => winnersPort) })
  ])
  return { port: bets.port, winnersPort: winners.port } satisfies Ports
})

/** The place of one server, which is restarted on the same ports. */
interface Place {
  readonly ports: Ports
  readonly servers: Array<Running>
  /** The process ids of killed servers. */
  readonly killed: Set<number>
}

const occupy = Effect.fnUntraced(function* (store: string, agencies: number) {
  const ports = yield* freePorts
  const place: Place = { ports, servers: [], killed: new Set() }
  yield* launch(place, store, agencies)
  const kill = Effect.gen(function* () {
    const server = place.servers.at(-1)!
    place.killed.add(server.child.pid!)
    yield* server.signal("SIGKILL")
    yield* server.outcome
    yield* launch(place, store, agencies)
  })
  return { place, kill }
})

/** Starts a server; retries while PostgreSQL is down. */
const launch = (
  place: Place,
  store: string,
  agencies: number
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { port, winnersPort } = place.ports
    const server = yield* startLottery({
      args: [
        ...["server", "--host", "127.0.0.1", "--store", store, "--agencies", `${agencies}`],
        ...["--port", `${port}`, "--winners-port", `${winnersPort}`]
      ]
    })
    place.servers.push(server)
    const listens = Effect.as(server.logged(/accept_connections/), true)
    const ended = Effect.as(server.outcome, false)
    if (!(yield* Effect.raceFirst(ended, listens))) yield* launch(place, store, agencies)
  })

const startTwo = (store: string, agencies: string) => {
  const start = startServer({ store, more: ["--agencies", agencies] })
  return Effect.all([start, start])
}

const AGENCIES = 30
const BETS = process.env.LOTTERY_TEST_LONG ? 20_000 : 4_000

/** Keeps closing the connections that listen for notifications. */
const deafen = (cluster: PostgresCluster) =>
  cluster
    .query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where query ilike 'listen%' and pid <> pg_backend_pid()`
    )
    .pipe(Effect.andThen(Effect.sleep("20 millis")), Effect.forever)

describeCluster("servers that share a draw", (shared) => {
  /** Makes a schema for a new draw and the books of its agencies. */
  const prepare = Effect.fnUntraced(function* (agencies: number, bets: number) {
    const cluster = yield* shared
    const folder = yield* temporaryFolder
    const store = yield* freshSchema(cluster.url())
    yield* generate(folder, bets, 7, agencies)
    return { cluster, folder, store }
  })

  it.live(
    "lose nothing, repeat nothing and hold one draw while they are killed and PostgreSQL crashes",
    () =>
      Effect.gen(function* () {
        const { cluster, folder, store } = yield* prepare(AGENCIES, BETS)
        const places = yield* Effect.forEach([1, 2, 3], () => occupy(store, AGENCIES))
        const name = yield* balance(places.map(({ place }) => place.ports))
        const agencies = Array.from({ length: AGENCIES }, (_, index) => index + 1)
        const done = yield* Deferred.make<void>()
        const kill = Effect.flatMap(
          Random.nextIntBetween(0, places.length - 1),
          (index) => places[index]!.kill
        )
        const restart = cluster.restart("immediate")
        const disturb = Effect.gen(function* () {
          for (const [part, event] of [
            [0.1, kill],
            [0.2, restart],
            [0.4, kill],
            [0.6, restart],
            [0.8, kill]
          ] as const) {
            while ((yield* heldBets(store)) < part * BETS * AGENCIES) {
              yield* Effect.sleep("50 millis")
            }
            yield* event
          }
          const pause = Effect.flatMap(Random.nextIntBetween(50, 300), Effect.sleep)
          yield* Effect.raceFirst(Effect.forever(Effect.andThen(pause, kill)), Deferred.await(done))
        })
        const start = (agency: number) =>
          startLottery({
            args: [...clientArgs(folder, agency, name, dialectOf(agency)), "--batch", "25"]
          })
        /** The course's dialects do not know temporary refusals; restart their clients. */
        const end = (agency: number, client: Running): Effect.Effect<Outcome, never, Scope.Scope> =>
          Effect.flatMap(client.outcome, (outcome) =>
            outcome.code !== 0 && dialectOf(agency) !== "native"
              ? Effect.flatMap(start(agency), (again) => end(agency, again))
              : Effect.succeed(outcome)
          )
        const upload = Effect.forEach(
          agencies,
          (agency) => Effect.flatMap(start(agency), (client) => end(agency, client)),
          { concurrency: "unbounded" }
        )
        const [outcomes] = yield* Effect.all(
          [Effect.ensuring(upload, Deferred.succeed(done, undefined)), disturb],
          { concurrency: 2 }
        )
        let said = ""
        for (const [index, { code, stderr, stdout }] of outcomes.entries()) {
          const winners = winnersOf(bookOf(folder, agencies[index]!))
          expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: winners })
          said += stderr
        }
        for (const agency of agencies) {
          expect(yield* exported(store, agency)).toBe(bookOf(folder, agency))
        }
        const logs = places
          .flatMap(({ place }) => place.servers.map((server) => server.stderr()))
          .join("")
        const draws = logs.match(/action: sorteo \| result: success/g) ?? []
        const [{ recorded_by } = { recorded_by: "" }] = yield* query(
          store,
          "select recorded_by from draws"
        )
        const recorder = Number(String(recorded_by).split(" ")[1])
        const wasKilled = places.some(({ place }) => place.killed.has(recorder))
        // A server that is killed after its commit may not have logged the draw.
        expect(draws.length, logs).toBeGreaterThanOrEqual(wasKilled ? 0 : 1)
        expect(draws.length, logs).toBeLessThanOrEqual(1)
        expect(said + logs).not.toContain(cluster.password)
      }),
    300_000
  )

  it.live("refuse a server with other agencies or another number", () =>
    Effect.gen(function* () {
      const { cluster, store } = yield* prepare(1, 1)
      yield* startServer({ store, more: ["--agencies", "1,3", "--winning-number", "7"] })
      const first = "opened with agencies 1, 3 and winning number 7"
      for (const [agencies, number, second] of [
        ["2", "7", "started with agencies 1, 2 and winning number 7"],
        ["1,3", "8", "started with agencies 1, 3 and winning number 8"]
      ] as const) {
        const { code, stderr } = yield* runLottery({
          args: [
            ...["server", "--port", "0", "--agencies", agencies, "--winning-number", number],
            ...["--store", store]
          ]
        })
        expect(code).toBe(1)
        expect(stderr).toContain(first)
        expect(stderr).toContain(second)
        expect(stderr).not.toContain(cluster.password)
      }
    })
  )

  it.live("send the winners of a draw that another one held, even without notifications", () =>
    Effect.gen(function* () {
      const { cluster, folder, store } = yield* prepare(2, 300)
      const [one, other] = yield* startTwo(store, "2")
      const waiting = yield* startLottery({ args: clientArgs(folder, 1, one, "native") })
      yield* waiting.logged(/waiting_for_draw/)
      yield* Effect.forkScoped(deafen(cluster))
      yield* one.logged(/store_listen \| result: fail/)
      const last = yield* runLottery({ args: clientArgs(folder, 2, other, "native") })
      expect(last).toMatchObject({ code: 0, stdout: winnersOf(bookOf(folder, 2)) })
      const winners = winnersOf(bookOf(folder, 1))
      expect(yield* waiting.outcome).toMatchObject({ code: 0, stdout: winners })
      // A poll at that moment may find all agencies finished and hold the draw here.
      const logs = one.stderr() + other.stderr()
      expect(logs.match(/action: sorteo \| result: success/g)).toHaveLength(1)
    })
  )

  it.live("hold the draw for one that died before it", () =>
    Effect.gen(function* () {
      const { folder, store } = yield* prepare(2, 300)
      const server = yield* startServer({ store, more: ["--agencies", "2"] })
      const waiting = yield* startLottery({ args: clientArgs(folder, 1, server, "json") })
      yield* waiting.logged(/apuestas_enviadas/)
      // The state that a server leaves if it is killed right after it stored the last book.
      yield* query(store, `update agencies set finished = true where agency = 2;`)
      expect(yield* waiting.outcome).toMatchObject({
        code: 0,
        stdout: winnersOf(bookOf(folder, 1))
      })
      yield* server.logged(/action: sorteo \| result: success/)
    })
  )

  it.live("store a book once if two of them receive it at the same time", () =>
    Effect.gen(function* () {
      const { folder, store } = yield* prepare(1, 20_000)
      const servers = yield* startTwo(store, "1,")
      const clients = yield* Effect.forEach(servers, (server) =>
        startLottery({ args: [...clientArgs(folder, 1, server, "native"), "--batch", "50"] })
      )
      const book = bookOf(folder, 1)
      for (const client of clients) {
        const { code, stderr, stdout } = yield* client.outcome
        expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: winnersOf(book) })
      }
      expect(yield* exported(store, 1)).toBe(book)
    })
  )

  it.live("disconnect an agency whose book is discarded and accept its next book", () =>
    Effect.gen(function* () {
      const { folder, store } = yield* prepare(2, 500)
      const [one, other] = yield* startTwo(store, "2")
      const waiting = yield* startLottery({ args: clientArgs(folder, 1, one, "native") })
      yield* waiting.logged(/waiting_for_draw/)
      const discarded = yield* runLottery({
        args: ["discard", "--store", store, "--agency", "1", "--yes"]
      })
      expect(discarded.code, discarded.stderr).toBe(0)
      expect(discarded.stderr).toMatch(/book_discarded .* cantidad: 500/)
      const { code, stderr } = yield* waiting.outcome
      expect(code).toBe(1)
      expect(stderr).toMatch(/the stored book of agency 1 was discarded/)

      yield* generate(folder, 400, 8, 2)
      const clients = yield* Effect.all([
        startLottery({ args: clientArgs(folder, 1, other, "native") }),
        startLottery({ args: clientArgs(folder, 2, one, "binary") })
      ])
      for (const [index, client] of clients.entries()) {
        const book = bookOf(folder, index + 1)
        expect(yield* client.outcome).toMatchObject({ code: 0, stdout: winnersOf(book) })
        expect(yield* exported(store, index + 1)).toBe(book)
      }
    })
  )

  it.live("can stop while PostgreSQL is down, and refuse bets until it is back", () =>
    Effect.gen(function* () {
      const { cluster, folder, store } = yield* prepare(1, 3_000)
      const [one, other] = yield* startTwo(store, "1,")
      yield* cluster.stop("immediate")
      const client = yield* startLottery({ args: clientArgs(folder, 1, one, "native") })
      yield* client.logged(/StoreUnavailable|the store is unavailable/)
      yield* other.signal("SIGTERM")
      expect(yield* other.outcome).toMatchObject({ code: 0 })
      yield* cluster.start
      const winners = winnersOf(bookOf(folder, 1))
      expect(yield* client.outcome).toMatchObject({ code: 0, stdout: winners })
      expect(yield* exported(store, 1)).toBe(bookOf(folder, 1))
      expect(one.stderr() + other.stderr()).not.toContain(cluster.password)
    })
  )

  for (const [how, isHung] of [
    ["PostgreSQL hangs", true],
    ["the answers of PostgreSQL are lost", false]
  ] as const) {
    it.live.runIf(process.env.LOTTERY_TEST_LONG)(`stop before they are killed while ${how}`, () =>
      Effect.gen(function* () {
        const { cluster, folder, store } = yield* prepare(1, 20_000)
        let isLost = false
        const proxy = yield* makeProxy({
          targets: () => [cluster.port],
          random: () => 0,
          onAnswer: () => (isLost ? "drop" : "pass")
        })
        const url = new URL(store)
        url.port = String(proxy.port)
        const server = yield* startServer({ store: url.href, more: ["--agencies", "1,"] })
        yield* startLottery({
          args: [...clientArgs(folder, 1, server, "native"), "--batch", "50"]
        })
        yield* server.logged(/apuestas_almacenadas/)
        isLost = true
        if (isHung) yield* cluster.pause
        yield* Effect.addFinalizer(() => cluster.resume)
        const killed = yield* Effect.forkScoped(
          Effect.andThen(Effect.sleep("15 seconds"), server.signal("SIGKILL"))
        )
        yield* server.signal("SIGTERM")
        const { code, stderr } = yield* server.outcome
        yield* Fiber.interrupt(killed)
        expect(code, stderr).toBe(0)
        expect(stderr).toMatch(/action: exit \| result: success\n$/)
      })
    )
  }
})
