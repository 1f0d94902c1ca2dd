/**
 * Goal: whatever the network does, in every dialect, an acknowledged bet is held, each bet once and
 * in its place, the draw waits for every agency and is held once, and each agency learns its own
 * winners; and once the network is well again everybody comes to the end. Method: a real server and
 * store, and the real clients, which a person starts again where they give up, all of it through
 * proxies that inject faults in a random mix. Books, mix and faults follow from a seed, which a
 * failure prints; `LOTTERY_FAULT_SEED` repeats its run, as far as the machine's timing lets it. How
 * often each fault was injected is an annotation of the test: vitest's verbose reporter shows it.
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

/** Runs with each kind of store. */
const RUNS = process.env.LOTTERY_TEST_LONG ? 60 : 3
const REPEATED_SEED = process.env.LOTTERY_FAULT_SEED

/** So many more are played where some fault has not happened in them. */
const MORE_RUNS = 2 * RUNS

const newSeed = (): number => randomInt(2 ** 31)

/** The network is bad for so many connections, or so long where fewer come. */
const BAD_CONNECTIONS = 120
const BAD_MILLIS = 1600
/** A person waits so long for a client before starting it again. */
const BAD_PATIENCE = "1 second"
/** Once the network is calm nobody should need to. */
const CALM_PATIENCE = "8 seconds"
/** So often a client may give up once the network is calm, for what was still on its way. */
const CALM_TRIES = 5
/** Less than vitest's, which knows of no seed. */
const RUN_PATIENCE = "20 seconds"

/** The most that each fault is probable at a chunk; a mix has a tenth of it or more. */
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

const between = (dice: Dice, least: number, most: number): number =>
  least + Math.floor(dice.nextDoubleUnsafe() * (most - least + 1))

/** What an agency has, and what is known of it. */
interface Party {
  readonly agency: Agency
  readonly conversation: Conversation
  readonly book: Book
  readonly text: string
  readonly winners: ReadonlyArray<string>
  /** The most bets that were acknowledged. */
  acknowledged: number
  /** How often its client was started. */
  tries: number
}

/**
 * An agency with a book in which some bets win, and some stand twice; whenever it is read it is
 * cut into other batches.
 */
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

/** What is held of a book is its beginning, and all that was acknowledged before it was read. */
const expectHeld = Effect.fnUntraced(function* (server: TestServer.TestServer, party: Party) {
  const { acknowledged, agency, text } = party
  const held = yield* heldText(server, agency)
  expect(text.startsWith(held), `agency ${agency}: ${betsIn(held)} bets begin its book`).toBe(true)
  expect(betsIn(held), `bets held of agency ${agency}`).toBeGreaterThanOrEqual(acknowledged)
})

/** Once the draw is held every book is whole, and stays so. */
const expectAllFinished = Effect.fnUntraced(function* (
  { store }: TestServer.TestServer,
  parties: ReadonlyArray<Party>
) {
  for (const { agency, book } of parties) {
    const { bets, finished } = yield* Effect.orDie(store.progressOf(agency))
    expect({ agency, bets, finished }).toEqual({ agency, bets: book.total, finished: true })
  }
})

/** Looks at all that must hold at any moment, over and over. */
const watch = (server: TestServer.TestServer, parties: ReadonlyArray<Party>) =>
  Effect.gen(function* () {
    for (const party of parties) yield* expectHeld(server, party)
    const draw = yield* Effect.orDie(server.store.draw)
    if (Option.getOrThrow(draw).recorded) yield* expectAllFinished(server, parties)
    yield* Effect.sleep("20 millis")
  }).pipe(Effect.forever)

/** What a client says of its progress is held against the store at once. */
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

/** Both ports through proxies of one mix; `calm` ends the faults for good. */
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

/** Why a client may give up; the binary dialect has no words for it. */
const MAY_GIVE_UP = /another connection took over|its log says why/
/**
 * Why the server may refuse something: a client or a replay of one came while the other was there;
 * a replay says again what has long been stored; a connection broke, in mid-message or before it.
 */
const MAY_REFUSE = [
  /another connection took over agency \d$/,
  /bets at position \d+ do not follow the \d+ held$/,
  /has finished its book with \d+ bets, no bet can follow/,
  /error: connection lost: /,
  /error: the peer stopped sending after \d+ bytes of a message$/,
  /error: expected a first byte in \S+, got 0 bytes$/,
  /error: expected enough bytes to identify the dialect in \S+, got \d+ bytes: /,
  /error: unknown first bytes: /
]

/** Starts an agency's client until it has its winners. */
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

/** Waits until the server has no connection any more. */
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

/** What must hold in the end. */
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
  // A defect would be another line than these.
  expect(log.filter((line) => !line.startsWith("action: "))).toEqual([])
  const refused = log.filter((line) => line.includes("result: fail"))
  expect(refused.filter((line) => !MAY_REFUSE.some((why) => why.test(line)))).toEqual([])
  const total = parties.reduce((sum, { book }) => sum + book.total, 0)
  expect(sumOf(log, /apuestas_almacenadas \| result: success .* cantidad: (\d+)/)).toBe(total)
})

/** What happened in one or several runs. */
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
    // Dice of its own, for it is not known which agency comes first.
    Effect.map(diceOf(`${seed}/${agency}`), (own) => makeParty(agency, own))
  )
  const mix = Object.fromEntries(
    FAULTS.map((fault) => [fault, WORST[fault] * (0.1 + 0.9 * dice.nextDoubleUnsafe())])
  ) as Probabilities
  const lines = yield* Scope.fork(yield* Effect.scope)
  const network = yield* Scope.provide(makeNetwork(server, seed, mix), lines)
  // In some runs the draw has to wait for an agency that comes only once the network is calm.
  const comesLate = dice.nextDoubleUnsafe() < 0.5 ? AGENCIES.length : undefined

  const everybody = Effect.forEach(
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
  const whole = Effect.raceFirst(Effect.andThen(everybody, network.calm), enough)
  yield* Effect.raceFirst(whole, watch(server, parties)).pipe(
    // Then the network goes too, for now and then it keeps a line open that nobody speaks on.
    Effect.andThen(Scope.close(lines, Exit.void)),
    Effect.andThen(expectEnd(server, parties)),
    Effect.timeout(RUN_PATIENCE),
    Random.withSeed(seed),
    Effect.catchCause((cause) => Effect.die(toFailure(seed, cause, server, network, parties)))
  )
  return tallyOf(server, network, parties)
}, Effect.scoped)

/** A failure that says how to repeat it, and what had happened. */
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

describe("on a network with faults no bet is lost or repeated, and all come to the end", () => {
  it.live.each(["sqlite", "csv"] as const)("with a %s store", (store, { annotate }) =>
    Effect.gen(function* () {
      const tallies: Array<Tally> = []
      const sum = (what: keyof Tally) => tallies.reduce((sum, tally) => sum + tally[what], 0)
      // Runs in which nothing of it happens would prove nothing.
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
