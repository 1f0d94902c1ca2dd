/**
 * Goal: whatever the network does, in every dialect, acknowledged bets are stored, each bet is
 * stored once at its position, the draw waits for every agency and is held once, and each agency
 * gets its own winners. Once the network works again, every client finishes. Method: a real server
 * and store and real clients, which are restarted when they give up, connected by proxies that
 * inject faults in a random mix. Books, mix and faults derive from a seed, which a failure prints.
 * `LOTTERY_FAULT_SEED` repeats a run, as far as the machine's timing allows. The counts of injected
 * faults are an annotation of the test, which vitest's verbose reporter shows.
 */
import { randomInt } from "node:crypto"
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Cause, Effect, Exit, Latch, Option, Random, Result, Scope, Stream } from "effect"
import { describe, expect } from "vitest"
import type { Book } from "../../src/client/book/Book.ts"
import * as BinaryConversation from "../../src/client/conversation/BinaryConversation.ts"
import type { Conversation, Servers } from "../../src/client/conversation/Conversation.ts"
import * as JsonConversation from "../../src/client/conversation/JsonConversation.ts"
import * as NativeConversation from "../../src/client/conversation/NativeConversation.ts"
import { UploadProgress } from "../../src/client/UploadProgress.ts"
import type { Agency } from "../../src/domain/Agency.ts"
import type { BetBatch } from "../../src/domain/BetBatch.ts"
import { batchOf, bookOf, keepLog } from "../support/clientBooks.ts"
import {
  FAULTS,
  type Fault,
  makeFaultProxy,
  type Probabilities
} from "../support/peers/FaultProxy.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const DIALECTS: ReadonlyArray<(agency: Agency) => Conversation> = [
  (agency) => NativeConversation.make(agency, "default"),
  (agency) => BinaryConversation.make(agency, 8192),
  (agency) => JsonConversation.make(agency)
]
const AGENCIES = [1, 2, 3, 4, 5, 6] as const
const WINNING = 7574

/** Runs per kind of store. */
const RUNS = process.env.LOTTERY_TEST_LONG ? 60 : 3
const REPEATED_SEED = process.env.LOTTERY_FAULT_SEED

/** Maximum additional runs while some fault has not happened yet. */
const MORE_RUNS = 2 * RUNS

const newSeed = (): number => randomInt(2 ** 31)

/** The network becomes calm after this many connections or this time, whichever comes first. */
const BAD_CONNECTIONS = 120
const BAD_MILLIS = 1600
/** Time after which a client is restarted on a bad network. */
const BAD_PATIENCE = "1 second"
/** The same on a calm network, where it should not be needed. */
const CALM_PATIENCE = "8 seconds"
/** Limit on the tries of a client on a calm network; data may still be on its way. */
const CALM_TRIES = 5
/** Less than vitest's timeout, whose failure does not print the seed. */
const RUN_PATIENCE = "20 seconds"

/** Maximum probability of each fault per chunk; a mix has at least a tenth of it. */
const WORST: Probabilities = {
  delay: 0.1,
  split: 0.06,
  merge: 0.3,
  drop: 0.03,
  halfClose: 0.03,
  reset: 0.04,
  stall: 0.04,
  repeat: 0.15
}

type Dice = typeof Random.Random.Service

const diceOf = (seed: number | string): Effect.Effect<Dice> =>
  Random.Random.pipe(Random.withSeed(seed))

const between = (dice: Dice, min: number, max: number): number =>
  min + Math.floor(dice.nextDoubleUnsafe() * (max - min + 1))

interface Party {
  readonly agency: Agency
  readonly conversation: Conversation
  readonly book: Book
  readonly text: string
  readonly winners: ReadonlyArray<string>
  /** Maximum number of acknowledged bets so far. */
  acknowledged: number
  /** The number of starts of its client. */
  tries: number
}

/** Makes an agency whose book has winners and repeated bets; each read cuts other batches. */
const makeParty = (agency: Agency, dice: Dice): Party => {
  const rows: Array<string> = []
  const winners: Array<string> = []
  const total = between(dice, 150, 600)
  while (rows.length < total) {
    const document = agency * 1_000_000 + between(dice, 0, 300)
    const number = dice.nextDoubleUnsafe() < 0.05 ? WINNING : 1 + between(dice, 0, 1000)
    for (let copies = between(dice, 0, 9) === 0 ? 2 : 1; copies > 0; copies--) {
      rows.push(`Ana,Perez,${document},1999-03-17,${number}\n`)
      if (number === WINNING) winners.push(String(document))
    }
  }
  const cut = () => {
    const batches: Array<BetBatch> = []
    for (let from = 0, count = 0; from < rows.length; from += count) {
      count = between(dice, 2, 14)
      batches.push(batchOf(rows.slice(from, from + count).join("")))
    }
    return Stream.fromIterable(batches, { chunkSize: 1 })
  }
  const conversation = DIALECTS[agency % DIALECTS.length]!(agency)
  const text = rows.join("")
  const book: Book = { ...bookOf([text]), batches: Stream.suspend(cut) }
  return { agency, conversation, book, text, winners, acknowledged: 0, tries: 0 }
}

const heldText = (server: TestServer.TestServer, agency: Agency) =>
  server.store.book(agency, 0).pipe(
    Stream.runCollect,
    Effect.map((batches) => Buffer.concat([...batches].map(({ bytes }) => bytes)).toString()),
    Effect.orDie
  )

const betsIn = (text: string): number => text.split("\n").length - 1

/** Expects that the stored bets begin the agency's book and include the acknowledged ones. */
const expectHeld = Effect.fnUntraced(function* (server: TestServer.TestServer, party: Party) {
  const { acknowledged, agency, text } = party
  const held = yield* heldText(server, agency)
  expect(text.startsWith(held), `agency ${agency}: ${betsIn(held)} bets begin its book`).toBe(true)
  expect(betsIn(held), `bets held of agency ${agency}`).toBeGreaterThanOrEqual(acknowledged)
})

const expectAllFinished = Effect.fnUntraced(function* (
  { store }: TestServer.TestServer,
  parties: ReadonlyArray<Party>
) {
  for (const { agency, book } of parties) {
    const { bets, finished } = yield* Effect.orDie(store.progressOf(agency))
    expect({ agency, bets, finished }).toEqual({ agency, bets: book.total, finished: true })
  }
})

/** Checks repeatedly what must be true at any moment. */
const watch = (server: TestServer.TestServer, parties: ReadonlyArray<Party>) =>
  Effect.gen(function* () {
    for (const party of parties) yield* expectHeld(server, party)
    const draw = yield* Effect.orDie(server.store.draw)
    if (Option.getOrThrow(draw).drawn) yield* expectAllFinished(server, parties)
    yield* Effect.sleep("20 millis")
  }).pipe(Effect.forever)

/** Compares a client's progress with the store at each acknowledgement. */
class WatchedProgress extends UploadProgress {
  readonly server: TestServer.TestServer
  readonly party: Party

  constructor(server: TestServer.TestServer, party: Party) {
    super(party.book.total)
    this.server = server
    this.party = party
  }

  override acknowledge(bets: number) {
    const { party, server } = this
    return Effect.map(Effect.orDie(server.store.progressOf(party.agency)), (progress) => {
      expect(progress.bets, `bets held of agency ${party.agency}`).toBeGreaterThanOrEqual(bets)
      party.acknowledged = Math.max(party.acknowledged, bets)
    }).pipe(Effect.andThen(super.acknowledge(bets)))
  }
}

/** Makes a proxy for each port; `calm` ends the faults permanently. */
const makeNetwork = Effect.fnUntraced(function* (
  { port, winnersPort }: TestServer.TestServer,
  seed: number,
  probabilities: Probabilities
) {
  const before = (target: number, name: string) =>
    makeFaultProxy({ target, seed: `${seed}/${name}`, probabilities })
  const bets = yield* before(port, "bets")
  const winners = yield* before(winnersPort, "winners")
  const calmed = yield* Latch.make()
  const servers: Servers = {
    server: { host: "127.0.0.1", port: bets.port },
    winnersServer: { host: "127.0.0.1", port: winners.port }
  }
  return {
    servers,
    connections: () => bets.connections() + winners.connections(),
    countOf: (fault: Fault) => bets.counts()[fault] + winners.counts()[fault],
    calm: Effect.all([bets.calm, winners.calm, calmed.open], { discard: true }),
    calmed
  }
})
type Network = Effect.Success<ReturnType<typeof makeNetwork>>

/** Reasons for a client to give up; a binary client refers to the server's log. */
const MAY_GIVE_UP = /another connection took over|its log has the reason/
/** Expected refusals: concurrent clients or replays, repeated bets and broken connections. */
const MAY_REFUSE = [
  /another connection took over agency \d$/,
  /expected bets at position \d+, got position \d+$/,
  /has already finished its book with \d+ bets, so no bets can be added;/,
  /error: connection lost: /,
  /error: the peer stopped sending after \d+ bytes of a message$/,
  /error: expected a first byte in \S+, got 0 bytes$/,
  /error: expected enough bytes to identify the dialect in \S+, got \d+ bytes: /,
  /error: unknown first bytes: /
]

/** Starts an agency's client repeatedly until it has its winners. */
const play = Effect.fnUntraced(function* (
  server: TestServer.TestServer,
  network: Network,
  party: Party
) {
  const { agency, book, conversation, winners } = party
  let calmTries = 0
  for (;;) {
    const isCalm = network.calmed.isOpen()
    if (isCalm) calmTries++
    expect(calmTries, `tries of agency ${agency} on a calm network`).toBeLessThan(CALM_TRIES)
    party.tries++
    const log = keepLog()
    const outcome = yield* conversation
      .hold(book, network.servers, new WatchedProgress(server, party))
      .pipe(
        Effect.timeoutOption(isCalm ? CALM_PATIENCE : BAD_PATIENCE),
        Effect.result,
        Effect.provide([log.layer, NodeFileSystem.layer])
      )
    if (Result.isFailure(outcome)) {
      const { _tag, message } = outcome.failure
      const said = [`agency ${agency}: ${message}`, ...log.lines.slice(-5)].join("\n")
      expect(_tag === "Refused" && MAY_GIVE_UP.test(message), said).toBe(true)
    } else if (Option.isSome(outcome.success)) {
      expect(outcome.success.value, `winners of agency ${agency}`).toEqual(winners)
      return
    }
  }
})

/** Waits until the server has no connections. */
const expectNoConnection = Effect.fnUntraced(function* ({ connections }: TestServer.TestServer) {
  const open = () =>
    (["bets", "winners"] as const).flatMap((name) =>
      Array.from(
        connections[name],
        ({ bytesRead, bytesWritten, readableEnded, writableFinished }) => ({
          ...{ name, bytesRead, bytesWritten },
          ...{ readableEnded, writableFinished }
        })
      )
    )
  yield* Effect.promise(() => expect.poll(open, { timeout: 10_000 }).toEqual([]))
})

const sumOf = (log: ReadonlyArray<string>, pattern: RegExp): number =>
  log.reduce((sum, line) => sum + Number(pattern.exec(line)?.[1] ?? 0), 0)

const expectEnd = Effect.fnUntraced(function* (
  server: TestServer.TestServer,
  parties: ReadonlyArray<Party>
) {
  const { log } = server
  yield* expectAllFinished(server, parties)
  for (const { agency, text } of parties) {
    expect(yield* heldText(server, agency), `the book of agency ${agency}`).toBe(text)
  }
  yield* expectNoConnection(server)
  const draws = log.filter((line) => line.startsWith("action: sorteo | result: success"))
  expect(draws).toHaveLength(1)
  // A defect is logged as a line of another form.
  expect(log.filter((line) => !line.startsWith("action: "))).toEqual([])
  const refused = log.filter((line) => line.includes("result: fail"))
  expect(refused.filter((line) => !MAY_REFUSE.some((why) => why.test(line)))).toEqual([])
  const total = parties.reduce((sum, { book }) => sum + book.total, 0)
  expect(sumOf(log, /apuestas_almacenadas \| result: success .* cantidad: (\d+)/)).toBe(total)
})

type Tally = Record<Fault | "connections" | "tries" | "bets" | "sent again", number>

const tallyOf = (
  { log }: TestServer.TestServer,
  network: Network,
  parties: ReadonlyArray<Party>
): Tally => ({
  ...(Object.fromEntries(FAULTS.map((fault) => [fault, network.countOf(fault)])) as Record<
    Fault,
    number
  >),
  connections: network.connections(),
  tries: parties.reduce((sum, { tries }) => sum + tries, 0),
  bets: parties.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
  "sent again": sumOf(log, /repetidas: (\d+)/)
})

const playRun = Effect.fnUntraced(function* (seed: number, store: "sqlite" | "csv") {
  const dice = yield* diceOf(seed)
  const folder = yield* temporaryFolder
  const url = { _tag: store, path: `${folder}/bets` } as const
  const server = yield* TestServer.start(url, AGENCIES, WINNING)
  const parties = yield* Effect.forEach(AGENCIES, (agency) =>
    // Separate dice, because the order of the agencies is not deterministic.
    Effect.map(diceOf(`${seed}/${agency}`), (own) => makeParty(agency, own))
  )
  const mix = Object.fromEntries(
    FAULTS.map((fault) => [fault, WORST[fault] * (0.1 + 0.9 * dice.nextDoubleUnsafe())])
  ) as Probabilities
  const lines = yield* Scope.fork(yield* Effect.scope)
  const network = yield* Scope.provide(makeNetwork(server, seed, mix), lines)
  // In some runs the draw waits for an agency that only starts on the calm network.
  const comesLate = dice.nextDoubleUnsafe() < 0.5 ? AGENCIES.length : undefined

  const allClients = Effect.forEach(
    parties,
    (party) => {
      const playing = play(server, network, party)
      return party.agency === comesLate ? Effect.andThen(network.calmed.await, playing) : playing
    },
    { concurrency: "unbounded", discard: true }
  )
  const enough = Effect.sleep("10 millis").pipe(
    Effect.repeat({ until: () => network.connections() >= BAD_CONNECTIONS }),
    Effect.timeoutOption(BAD_MILLIS),
    Effect.andThen(network.calm),
    Effect.andThen(Effect.never)
  )
  const whole = Effect.raceFirst(Effect.andThen(allClients, network.calm), enough)
  yield* Effect.raceFirst(whole, watch(server, parties)).pipe(
    // The proxies close as well, because they may keep an idle connection open.
    Effect.andThen(Scope.close(lines, Exit.void)),
    Effect.andThen(expectEnd(server, parties)),
    Effect.timeout(RUN_PATIENCE),
    Random.withSeed(seed),
    Effect.catchCause((cause) => Effect.die(toFailure(seed, cause, server, network, parties)))
  )
  return tallyOf(server, network, parties)
}, Effect.scoped)

/** Makes a failure with the seed that repeats the run, its counts and the end of the log. */
const toFailure = (
  seed: number,
  cause: Cause.Cause<unknown>,
  server: TestServer.TestServer,
  network: Network,
  parties: ReadonlyArray<Party>
): Error => {
  const error = Cause.squash(cause)
  const reason = error instanceof Error ? error.message : String(error)
  const lines = [
    `${reason}\nLOTTERY_FAULT_SEED=${seed} repeats this run`,
    JSON.stringify(tallyOf(server, network, parties)),
    ...server.log.slice(-20)
  ]
  return new Error(lines.join("\n"), { cause: error })
}

describe("on a network with faults no bet is lost or repeated, and every client finishes", () => {
  it.live.each(["sqlite", "csv"] as const)("with a %s store", (store, { annotate }) =>
    Effect.gen(function* () {
      const tallies: Array<Tally> = []
      const sum = (what: keyof Tally) => tallies.reduce((sum, tally) => sum + tally[what], 0)
      // Runs without some fault would prove nothing about it.
      const isEnough = () => tallies.length >= RUNS && FAULTS.every((fault) => sum(fault) > 0)
      if (REPEATED_SEED !== undefined) tallies.push(yield* playRun(Number(REPEATED_SEED), store))
      else {
        while (!isEnough() && tallies.length < RUNS + MORE_RUNS) {
          tallies.push(yield* playRun(newSeed(), store))
        }
      }
      const said = Object.keys(tallies[0]!).map((what) => `${what} ${sum(what as keyof Tally)}`)
      yield* Effect.promise(() => annotate(`${tallies.length} runs: ${said.join(", ")}`))
      if (REPEATED_SEED === undefined) {
        for (const fault of FAULTS) expect(sum(fault), fault).toBeGreaterThan(0)
      }
    })
  )
})
