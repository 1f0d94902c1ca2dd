/**
 * Goal: whatever agencies, connections and machines do, every acknowledged bet is stored once at
 * its position, and every agency gets its own winners. Method: random commands run against a server
 * whose disk loses unsynced data at a power cut, and each answer is compared with a simple model of
 * docs/wire.md. Everything runs in this process on the test clock. A failing run prints its seed
 * and path, which repeat it.
 */
import { Effect, Exit, ManagedRuntime, Stream } from "effect"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import {
  DIALECTS,
  type Dialect,
  type Flaws,
  ModelMachine,
  type ModelPeer,
  type Stop
} from "../support/model/ModelMachine.ts"
import * as M from "../support/peers/messages.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 5_000 : 300
const WINNING = 7574
const AGENCIES = [1, 2] as const

type Row = string

const bet = (agency: number, document: number, number = 1): Row =>
  M.rowsOf([M.fields(agency * 1000 + document, number)])

/** Returns an agency's book, with winners and with repeated rows, adjacent and apart. */
const bookOf = (agency: number): ReadonlyArray<Row> => {
  const twice = bet(agency, 1)
  const winner = bet(agency, 7, WINNING)
  return [twice, twice, bet(agency, 2), winner, bet(agency, 3), twice, winner, bet(agency, 4)]
}

const VARIANTS = {
  right: (book: ReadonlyArray<Row>) => book,
  changed: (book: ReadonlyArray<Row>) => book.with(4, book[7]!),
  swapped: (book: ReadonlyArray<Row>) => book.with(2, book[4]!).with(4, book[2]!),
  shorter: (book: ReadonlyArray<Row>) => book.slice(0, 5),
  longer: (book: ReadonlyArray<Row>) => [...book, book[0]!]
} as const
type Variant = keyof typeof VARIANTS

interface ModelBook {
  held: ReadonlyArray<Row>
  finished: boolean
  writer: ModelledConnection | undefined
}

interface ModelledConnection {
  readonly agency: number
  readonly dialect: Dialect
  readonly rows: ReadonlyArray<Row>
  readonly peer: ModelPeer
  alive: boolean
  /** The number of its bets that were acknowledged, or stored at its Hello. */
  position: number
  /** A discard of the agency's book disconnects it. */
  present: boolean
  /** Its last batch was accepted, or its book was finished at its Hello. */
  finished: boolean
  /** It has requested its winners. */
  waits: boolean
}

interface Model {
  readonly books: Map<number, ModelBook>
  readonly connections: Array<ModelledConnection>
  drawn: boolean
}

const newModel = (): Model => ({
  books: new Map(
    AGENCIES.map((agency) => [agency, { held: [], finished: false, writer: undefined }])
  ),
  connections: [],
  drawn: false
})

const winnersOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  rows.filter((row) => row.endsWith(`,${WINNING}\n`)).map((row) => row.split(",")[2]!)

const leave = (model: Model, connection: ModelledConnection) => {
  connection.alive = false
  const book = model.books.get(connection.agency)!
  if (book.writer === connection) book.writer = undefined
}

// The frames of each dialect.

const fieldsOf = (rows: ReadonlyArray<Row>) => rows.map((row) => row.trimEnd().split(","))

const frameOf = (
  { agency, dialect }: ModelledConnection,
  position: number,
  rows: ReadonlyArray<Row>,
  last: boolean
): Buffer => {
  switch (dialect) {
    case "binary":
      return M.packetOf(agency, fieldsOf(rows), !last)
    case "json":
      return M.chunkOf(agency, fieldsOf(rows), last)
    case "native":
      return M.betsOf(position, fieldsOf(rows))
  }
}

const questionOf = ({ agency, dialect }: ModelledConnection): Buffer => {
  switch (dialect) {
    case "binary":
      return M.packet(`${agency};`, false)
    case "json":
      return M.consultOf(agency)
    case "native":
      return M.AWAIT_WINNERS
  }
}

const STORED_ANSWERS = { binary: M.STORED, json: M.CHUNK_PROCESSED }

const isStored = ({ dialect }: ModelledConnection, heard: Buffer, bets: number): boolean =>
  dialect === "native"
    ? M.controlsIn(heard).at(-1)?._tag === "Ack" && M.controlsIn(heard).at(-1)?.bets === bets
    : heard.equals(STORED_ANSWERS[dialect])

const isRefused = ({ dialect }: ModelledConnection, heard: Buffer): boolean => {
  switch (dialect) {
    case "binary":
      return heard.equals(M.REFUSED)
    case "json":
      return (M.readJson(heard) as { type_message: number }).type_message === 3
    case "native":
      return M.controlsIn(heard).at(-1)?._tag === "Rejected"
  }
}

const hearsWinners = (
  { dialect }: ModelledConnection,
  heard: Buffer,
  documents: ReadonlyArray<string>
): boolean => {
  switch (dialect) {
    case "binary":
      return heard.equals(M.winnersOf(...documents.map(Number)))
    case "json":
      return (M.readJson(heard) as { payload: string }).payload === documents.join(",")
    case "native": {
      const said = M.controlsIn(heard).at(-1)
      return said?._tag === "Winners" && String(said.documents) === documents.join(",")
    }
  }
}

/** Events that the runs must contain to prove anything. */
const EVENTS = [
  "a batch was stored",
  "a batch was refused",
  "a connection was superseded",
  "an agency resumed in mid-book",
  "a machine stopped in the middle of a batch",
  "an unacknowledged batch was stored",
  "an unacknowledged batch was lost",
  "a killed server had written an unacknowledged batch",
  "a book was discarded",
  "a draw was held",
  "an agency got its winners"
] as const
const seen = new Map<(typeof EVENTS)[number], number>()
const happened = (what: (typeof EVENTS)[number]) => seen.set(what, (seen.get(what) ?? 0) + 1)

// The rules of docs/wire.md.

/** Predicts the answer to `rows`, sent at `position` of the connection's book. */
const outcomeOf = (
  book: ModelBook,
  connection: ModelledConnection,
  position: number,
  rows: ReadonlyArray<Row>,
  last: boolean
): "stored" | "refused" => {
  const { held } = book
  if (connection.finished && connection.dialect !== "native") return "refused"
  if (connection.dialect === "native") {
    const follows = position === connection.position && !connection.finished
    const adds = position === held.length && !book.finished
    return follows && (adds || rows.length === 0) ? "stored" : "refused"
  }
  const end = position + rows.length
  const differs = rows.some((row, index) => {
    const other = held[position + index]
    return other !== undefined && other !== row
  })
  if (differs || (book.finished && end > held.length)) return "refused"
  return last && end < held.length ? "refused" : "stored"
}

/** Applies a stored batch to the model; returns the superseded connections. */
const applyStored = (
  model: Model,
  connection: ModelledConnection,
  position: number,
  rows: ReadonlyArray<Row>,
  last: boolean
): ReadonlyArray<ModelledConnection> => {
  const book = model.books.get(connection.agency)!
  happened("a batch was stored")
  connection.present = true
  const fresh = rows.slice(Math.max(0, book.held.length - position))
  // A batch that is only compared supersedes no writer.
  const changes = fresh.length > 0 || (last && !book.finished)
  const superseded = changes ? becomeWriter(model, connection) : []
  book.held = [...book.held, ...fresh]
  connection.position = position + rows.length
  if (last) finish(model, connection)
  return superseded
}

/** Makes a connection the writer; returns the superseded ones. */
const becomeWriter = (
  model: Model,
  connection: ModelledConnection
): ReadonlyArray<ModelledConnection> => {
  const book = model.books.get(connection.agency)!
  const { writer } = book
  if (writer === connection) return []
  book.writer = connection
  if (writer === undefined) return []
  writer.alive = false
  happened("a connection was superseded")
  return [writer]
}

const finish = (model: Model, connection: ModelledConnection) => {
  const book = model.books.get(connection.agency)!
  book.finished = true
  connection.finished = true
  if (book.writer === connection) book.writer = undefined
  if (model.drawn || [...model.books.values()].some((one) => !one.finished)) return
  model.drawn = true
  happened("a draw was held")
}

// The commands.

type Real = ModelMachine
type Command = fc.AsyncCommand<Model, Real>

/** Each run has its own clock, so that fibers left from an earlier run never wake. */
const newRuntime = () => ManagedRuntime.make(TestClock.layer())
let runtime = newRuntime()
afterAll(() => runtime.dispose())

const command = (
  name: string,
  run: (model: Model, real: Real) => Effect.Effect<void, unknown>
): Command => ({
  check: () => true,
  run: (model, real) =>
    runtime.runPromise(Effect.andThen(run(model, real), checkProgress(model, real))),
  toString: () => name
})

/** Checks after every command that the store matches the model and that due winners arrived. */
const checkProgress = Effect.fnUntraced(function* (model: Model, real: Real) {
  expect(real.defects).toEqual([])
  for (const [agency, { finished, held }] of model.books) {
    expect(yield* real.store.progressOf(agency)).toMatchObject({ bets: held.length, finished })
    const batches = yield* Stream.runCollect(real.store.book(agency, 0))
    const text = Buffer.from(BetBatch.concat([BetBatch.empty, ...batches]).bytes).toString()
    expect(text).toBe(held.join(""))
  }
  if (!model.drawn) return
  for (const connection of model.connections) {
    if (!connection.alive || !connection.waits) continue
    const documents = winnersOf(model.books.get(connection.agency)!.held)
    expect(hearsWinners(connection, connection.peer.heard(), documents), "winners").toBe(true)
    connection.peer.halfClose()
    happened("an agency got its winners")
    leave(model, connection)
    yield* real.settle
    expect(connection.peer.isClosed()).toBe(true)
  }
})

/** Expects that each connection was disconnected, with a refusal if its dialect has one. */
const expectDisconnected = (connections: ReadonlyArray<ModelledConnection>) => {
  for (const connection of connections) {
    const heard = connection.peer.heard()
    // Binary packets have no refusal after the last packet, so the connection stays open.
    const isKept = connection.dialect === "binary" && connection.finished
    expect(connection.peer.isClosed(), "disconnected").toBe(!isKept)
    if (isKept) expect(heard.length).toBe(0)
    else expect(isRefused(connection, heard), "refused").toBe(true)
  }
}

const pick = (model: Model, index: number): ModelledConnection | undefined => {
  const alive = model.connections.filter((one) => one.alive && !one.waits)
  return alive[index % Math.max(1, alive.length)]
}

/** After the last binary packet an empty packet is the request for winners. */
const isQuestion = ({ dialect, finished }: ModelledConnection, rows: ReadonlyArray<Row>): boolean =>
  dialect === "binary" && finished && rows.length === 0

const connect = (agency: number, dialect: Dialect, variant: Variant) =>
  command(`connect(${agency}, ${dialect}, ${variant})`, (model, real) =>
    Effect.gen(function* () {
      const peer = yield* real.connect(dialect)
      const connection: ModelledConnection = {
        agency,
        dialect,
        peer,
        rows: VARIANTS[variant](bookOf(agency)),
        alive: true,
        position: 0,
        present: false,
        finished: false,
        waits: false
      }
      model.connections.push(connection)
      if (dialect !== "native") return
      peer.send(M.helloOf(agency))
      yield* real.settle
      const { finished, held } = model.books.get(agency)!
      expect(M.controlsIn(peer.heard())).toMatchObject([
        { _tag: "Welcome", bets: held.length, sha256: M.sha256Of(held.join("")), finished }
      ])
      connection.present = true
      if (held.length > 0 && !finished) happened("an agency resumed in mid-book")
      connection.position = held.length
      connection.finished = finished
    })
  )

/** Returns a live connection, or a new one with the right book. */
const pickOrConnect = Effect.fnUntraced(function* (model: Model, real: Real, index: number) {
  const there = pick(model, index)
  if (there !== undefined) return there
  const dialect = DIALECTS[index % DIALECTS.length]!
  const begin = connect(AGENCIES[index % AGENCIES.length]!, dialect, "right")
  yield* Effect.promise(() => begin.run(model, real))
  return model.connections.at(-1)!
})

/** Sends the next bets, or with `shift` earlier or later ones. */
const send = (index: number, count: number, shift: number, last: boolean) =>
  command(`send(${index}, ${count}, ${shift}, ${last})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      const book = model.books.get(connection.agency)!
      const from = Math.max(0, connection.position + shift)
      const rows = connection.rows.slice(from, from + count)
      if (isQuestion(connection, rows)) return
      // Only native frames have a position.
      const position = connection.dialect === "native" ? from : connection.position
      const saysLast = last && connection.dialect !== "native"
      const outcome = outcomeOf(book, connection, position, rows, saysLast)
      connection.peer.send(frameOf(connection, position, rows, saysLast))
      yield* real.settle
      const heard = connection.peer.heard()
      if (outcome === "stored") {
        expect(isStored(connection, heard, position + rows.length), "stored").toBe(true)
        expectDisconnected(applyStored(model, connection, position, rows, saysLast))
      } else {
        // Binary packets have no refusal after the last packet.
        if (connection.dialect === "binary" && connection.finished) expect(heard.length).toBe(0)
        else expect(isRefused(connection, heard), "refused").toBe(true)
        expect(connection.peer.isClosed()).toBe(true)
        happened("a batch was refused")
        leave(model, connection)
      }
    })
  )

/** Sends the remaining bets and finishes the book. */
const sendRest = (index: number) =>
  command(`sendRest(${index})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      if (connection.finished) return
      const { position } = connection
      const rows = connection.rows.slice(position)
      if (connection.dialect !== "native") {
        return yield* Effect.promise(() => send(index, rows.length, 0, true).run(model, real))
      }
      yield* Effect.promise(() => send(index, rows.length, 0, false).run(model, real))
      if (connection.alive)
        yield* Effect.promise(() => sayFinish(connection, true).run(model, real))
    })
  )

/** Another connection of an agency sends the right book, up to its last bet but one. */
const rival = (agency: number, dialect: Dialect) =>
  command(`rival(${agency}, ${dialect})`, (model, real) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => connect(agency, dialect, "right").run(model, real))
      const { position } = model.connections.at(-1)!
      const last = model.connections.filter((one) => one.alive && !one.waits).length - 1
      const count = Math.max(0, 7 - position)
      yield* Effect.promise(() => send(last, count, 0, false).run(model, real))
    })
  )

const sayFinish = (connection: ModelledConnection, right: boolean) =>
  command("finish", (model, real) =>
    Effect.gen(function* () {
      const book = model.books.get(connection.agency)!
      const rows = right ? connection.rows.slice(0, connection.position) : [bet(9, 9)]
      connection.peer.send(M.finishOf(fieldsOf(rows)))
      yield* real.settle
      const said = M.controlsIn(connection.peer.heard()).at(-1)
      if (rows.join("") === book.held.join("")) {
        expect(said).toMatchObject({ _tag: "Finished", bets: rows.length })
        if (!book.finished) expectDisconnected(becomeWriter(model, connection))
        finish(model, connection)
      } else {
        expect(said).toMatchObject({ _tag: "Rejected", code: "BookMismatch" })
        leave(model, connection)
      }
    })
  )

const finishCommand = (index: number, right: boolean, twice: boolean) =>
  command(`finish(${index}, ${right}, ${twice})`, (model, real) =>
    Effect.gen(function* () {
      const connection = pick(model, index)
      if (connection?.dialect !== "native") return
      for (let times = 0; times < (twice ? 2 : 1) && connection.alive; times++) {
        yield* Effect.promise(() => sayFinish(connection, right).run(model, real))
      }
    })
  )

/** Requests the winners; `checkProgress` reads the answer after the draw. */
const ask = (index: number) =>
  command(`ask(${index})`, (model, real) =>
    Effect.gen(function* () {
      const connection = pick(model, index)
      if (connection === undefined) return
      const book = model.books.get(connection.agency)!
      // On the connection of the bets the request may only follow the last batch. In binary packets
      // it is also the empty last packet of an upload that has not begun.
      const mayAsk =
        connection.dialect === "native"
          ? book.finished
          : connection.finished || (connection.dialect === "json" && !connection.present)
      if (connection.dialect === "binary" && !mayAsk) return
      connection.peer.send(questionOf(connection))
      yield* real.settle
      if (mayAsk) {
        connection.waits = true
        connection.present = true
        return
      }
      expect(isRefused(connection, connection.peer.heard()), "asked too early").toBe(true)
      leave(model, connection)
    })
  )

const drop = (index: number) =>
  command(`drop(${index})`, (model, real) =>
    Effect.gen(function* () {
      const connection = pick(model, index)
      if (connection === undefined) return
      connection.peer.drop()
      leave(model, connection)
      yield* real.settle
    })
  )

/** Sends bets and disconnects before the answer arrives. */
const loseAnswer = (index: number, count: number, last: boolean) =>
  command(`loseAnswer(${index}, ${count}, ${last})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      const book = model.books.get(connection.agency)!
      const { dialect, position } = connection
      const saysLast = last && dialect !== "native"
      const rows = connection.rows.slice(position, position + count)
      if (isQuestion(connection, rows)) return
      const outcome = outcomeOf(book, connection, position, rows, saysLast)
      connection.peer.send(frameOf(connection, position, rows, saysLast))
      yield* real.settle
      connection.peer.drop()
      if (outcome === "stored") {
        expectDisconnected(applyStored(model, connection, position, rows, saysLast))
      }
      leave(model, connection)
      yield* real.settle
    })
  )

const forgetConnections = (model: Model) => {
  for (const connection of model.connections) leave(model, connection)
}

const restart = (stop: Stop) =>
  command(`restart(${stop})`, (model, real) =>
    Effect.gen(function* () {
      yield* real.restart(stop)
      forgetConnections(model)
    })
  )

/** Stops the machine while it stores a batch, and perhaps once more after the restart. */
const stopDuring = (
  index: number,
  count: number,
  last: boolean,
  operations: number,
  [stop, next]: readonly [Stop, Stop?]
) =>
  command(`stopDuring(${[index, count, last, operations, stop, next]})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      const book = model.books.get(connection.agency)!
      const { dialect, position } = connection
      const saysLast = last && dialect !== "native"
      const rows = connection.rows.slice(position, position + count)
      if (isQuestion(connection, rows)) return
      const before = book.held
      const outcome = outcomeOf(book, connection, position, rows, saysLast)
      real.stopAfter(operations)
      connection.peer.send(frameOf(connection, position, rows, saysLast))
      yield* real.settle
      if (real.hasStopped()) happened("a machine stopped in the middle of a batch")
      const acknowledged = isStored(connection, connection.peer.heard(), position + rows.length)
      yield* real.restart(stop)
      if (outcome === "stored") applyStored(model, connection, position, rows, saysLast)
      else expect(acknowledged).toBe(false)
      forgetConnections(model)
      // An unacknowledged batch may be stored in full, in part or not at all.
      const { bets, finished } = yield* real.store.progressOf(connection.agency)
      if (acknowledged) {
        expect(bets).toBe(book.held.length)
        return
      }
      expect(bets).toBeGreaterThanOrEqual(before.length)
      expect(bets).toBeLessThanOrEqual(book.held.length)
      if (outcome === "stored" && rows.length > 0) {
        happened(
          bets === before.length
            ? "an unacknowledged batch was lost"
            : "an unacknowledged batch was stored"
        )
        if (stop === "killed" && bets > before.length) {
          happened("a killed server had written an unacknowledged batch")
        }
      }
      if (finished) expect(book.finished && bets === book.held.length).toBe(true)
      book.held = book.held.slice(0, bets)
      book.finished = finished
      model.drawn = [...model.books.values()].every((one) => one.finished)
      // Bets found after one restart must survive the next.
      if (next !== undefined) yield* real.restart(next)
    })
  )

/** Lets the server's periodic work run. */
const wait = command("wait", (_model, real) =>
  Effect.andThen(TestClock.adjust("1 second"), real.settle)
)

const discard = (agency: number) =>
  command(`discard(${agency})`, (model, real) =>
    Effect.gen(function* () {
      const book = model.books.get(agency)!
      const result = yield* real.discard(agency)
      if (model.drawn) return expect(Exit.isFailure(result)).toBe(true)
      expect(result).toEqual(Exit.succeed(book.held.length))
      if (book.held.length > 0) happened("a book was discarded")
      book.held = []
      book.finished = false
      const gone = model.connections.filter(
        (one) => one.alive && one.present && one.agency === agency
      )
      expectDisconnected(gone)
      for (const connection of gone) leave(model, connection)
    })
  )

const index = fc.nat(5)
const count = fc.nat(4)
const STOPS: ReadonlyArray<Stop> = [0, 0.3, 0.7, 1, "end", "killed"]
const agency = fc.constantFrom(...AGENCIES)
const variant = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Variant>("right") },
  { weight: 4, arbitrary: fc.constantFrom<Variant>("changed", "swapped", "shorter", "longer") }
)
const shift = fc.oneof(
  { weight: 8, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) }
)
const stops = fc.oneof(
  fc.constantFrom(...STOPS).map((stop) => [stop] as const),
  fc.constantFrom(0, 0.7).map((kept) => ["killed", kept] as const)
)
/** The first operations write and sync bets, later ones the state. */
const operations = fc.oneof(fc.nat(2), fc.nat(12))

const COMMANDS: Array<fc.Arbitrary<Command>> = [
  fc.tuple(agency, fc.constantFrom(...DIALECTS), variant).map((args) => connect(...args)),
  fc.tuple(agency, fc.constantFrom(...DIALECTS), variant).map((args) => connect(...args)),
  fc.tuple(index, count, shift, fc.boolean()).map((args) => send(...args)),
  fc.tuple(index, count, shift, fc.constant(false)).map((args) => send(...args)),
  index.map(sendRest),
  index.map(sendRest),
  fc.tuple(agency, fc.constantFrom(...DIALECTS)).map((args) => rival(...args)),
  fc.tuple(index, fc.boolean(), fc.boolean()).map((args) => finishCommand(...args)),
  index.map(ask),
  index.map(drop),
  fc.tuple(index, count, fc.boolean()).map((args) => loseAnswer(...args)),
  fc.constantFrom(...STOPS).map(restart),
  fc.tuple(index, count, fc.boolean(), operations, stops).map((args) => stopDuring(...args)),
  agency.map(discard),
  fc.constant(wait)
]

/** Runs random commands; a failure has the seed, path and commands of the smallest failing run. */
const check = (flaws: Flaws, runs: number) =>
  fc.check(
    fc.asyncProperty(fc.commands(COMMANDS, { maxCommands: 40, size: "max" }), (commands) =>
      fc.asyncModelRun(async () => {
        const real = new ModelMachine(AGENCIES, WINNING, flaws)
        await runtime.dispose()
        runtime = newRuntime()
        await runtime.runPromise(real.start)
        return { model: newModel(), real }
      }, commands)
    ),
    { numRuns: runs, endOnFailure: Object.keys(flaws).length > 0 }
  )

const withoutRepeatedRows = (batch: BetBatch): BetBatch => {
  const rows = new Set(batch.rows())
  return new BetBatch(Buffer.from([...rows].map((row) => `${row}\n`).join("")), rows.size)
}

const describeFailure = (result: Awaited<ReturnType<typeof check>>): string =>
  result.failed ? `${fc.defaultReportMessage(result)}\n${result.errorInstance}` : ""

describe("the server against its model", () => {
  it("behaves the same, whatever fails", async () => {
    seen.clear()
    const result = await check({}, RUNS)
    expect(result.failed, describeFailure(result)).toBe(false)
    for (const what of EVENTS) expect(seen.get(what), what).toBeGreaterThan(RUNS / 100)
  }, 900_000)
})

describe("a server with a flaw differs from its model:", () => {
  const flaws: ReadonlyArray<readonly [string, Flaws]> = [
    ["nothing is synced", { ignoreSyncs: true }],
    [
      "bets are taken at any position",
      {
        lottery: (lottery) => ({
          ...lottery,
          upload: (...args) =>
            Effect.map(lottery.upload(...args), (upload) => ({
              ...upload,
              append: (_position, ...bets) => upload.append(upload.position(), ...bets)
            }))
        })
      }
    ],
    [
      "an upload that starts over is stored again",
      {
        store: (store) => ({
          ...store,
          // Stored bets are ignored, and every batch is appended.
          progressOf: (agency) =>
            Effect.map(store.progressOf(agency), (progress) => ({ ...progress, bets: 0 })),
          append: (agency, _position, batch, last) =>
            Effect.flatMap(store.progressOf(agency), ({ bets }) =>
              store.append(agency, bets, batch, last)
            )
        })
      }
    ],
    [
      "equal bets of a batch are stored once",
      {
        store: (store) => ({
          ...store,
          append: (agency, position, batch, last) =>
            store.append(agency, position, withoutRepeatedRows(batch), last)
        })
      }
    ]
  ]
  it.each(flaws)("%s", async (_what, flaw) => {
    const result = await check(flaw, RUNS)
    expect(result.failed).toBe(true)
  })
})
