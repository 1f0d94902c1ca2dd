/**
 * Goal: whatever agencies, operators, connections and machines do, every acknowledged bet is stored
 * once at its position, every acknowledged act is done once, and every agency of the draw gets its
 * own winners. Method: random commands run against a server whose disk loses unsynced data at a
 * power cut, and each answer is compared with a simple model. Everything runs in this process on
 * the test clock. A failing run prints its seed and path, which repeat it.
 */
import { randomUUID } from "node:crypto"
import { Clock, Effect, Exit, Fiber, ManagedRuntime, Option, Stream } from "effect"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { fixedNumber } from "../../src/domain/Draw.ts"
import type { Excluded } from "../../src/server/store/BetStore.ts"
import {
  applyStored,
  becomeWriter,
  documentsOf,
  EVENTS,
  finish,
  happened,
  leave,
  look,
  type Model,
  type ModelledConnection,
  newModel,
  outcomeOf,
  outcomeOfFinish,
  type Plan,
  planAnnounce,
  planDiscard,
  planExclude,
  planMoveClose,
  seen,
  winnersOf
} from "../support/model/Model.ts"
import {
  afterStored,
  fieldsOf,
  frameOf,
  hearsWinners,
  isRefused,
  isStored,
  questionOf,
  type Row
} from "../support/model/ModelDialect.ts"
import {
  type Control,
  DIALECTS,
  type Dialect,
  type Flaws,
  ModelMachine,
  type Stop
} from "../support/model/ModelMachine.ts"
import * as M from "../support/peers/messages.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 5_000 : 300
const WINNING = 7574
/** The number of most bets. */
const OTHER = 1

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

// The commands.

type Real = ModelMachine
type Store = Real["store"]
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
  for (const [agency, { excluded, finished, held }] of model.books) {
    const stored = { bets: held.length, excluded, finished }
    expect(yield* real.store.progressOf(agency), `agency ${agency}`).toMatchObject(stored)
    const batches = yield* Stream.runCollect(real.store.book(agency, 0))
    const text = Buffer.from(BetBatch.concat([BetBatch.empty, ...batches]).bytes).toString()
    expect(text).toBe(held.join(""))
  }
  const { closesAt, drawn, winningNumber } = model
  expect(Option.getOrThrow(yield* real.store.draw)).toMatchObject({
    closesAt,
    drawn,
    winningNumber
  })
  const winners = yield* recordedWinners(real)
  if (winningNumber === undefined || !drawn) return expect(winners.size).toBe(0)
  for (const [agency, { excluded, held }] of model.books) {
    const own = excluded ? [] : winnersOf(held, winningNumber)
    expect(winners.get(agency) ?? "", `winners of agency ${agency}`).toBe(own.join(""))
  }
  for (const connection of model.connections) {
    if (!connection.alive || !connection.waits) continue
    const documents = documentsOf(
      winnersOf(model.books.get(connection.agency)!.held, winningNumber)
    )
    expect(hearsWinners(connection, connection.peer.heard(), documents), "winners").toBe(true)
    connection.peer.halfClose()
    happened("an agency got its winners")
    leave(model, connection)
    yield* real.settle
    expect(connection.peer.isClosed()).toBe(true)
  }
})

const recordedWinners = (real: Real) =>
  Effect.map(
    real.store.winners,
    (all) =>
      new Map(
        Array.from(all, ([agency, won]) => [
          agency,
          won instanceof BetBatch ? Buffer.from(won.bytes).toString() : won.message
        ])
      )
  )

/** Expects that each connection was disconnected, with a refusal if its dialect has one. */
const expectDisconnected = (model: Model, connections: ReadonlyArray<ModelledConnection>) => {
  for (const connection of connections) {
    const heard = connection.peer.heard()
    // Binary packets have no refusal after the last packet, so the connection stays open, unless
    // the agency was excluded at the same time.
    const isSilent = connection.dialect === "binary" && connection.finished
    const { excluded } = model.books.get(connection.agency)!
    expect(connection.peer.isClosed(), "disconnected").toBe(!isSilent || excluded)
    if (isSilent) expect(heard.length).toBe(0)
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
      const { excluded, finished, held } = model.books.get(agency)!
      if (excluded) {
        happened("a request of an excluded agency was refused")
        expect(M.controlsIn(peer.heard())).toMatchObject([{ _tag: "Rejected", code: "Excluded" }])
        expect(peer.isClosed()).toBe(true)
        return leave(model, connection)
      }
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
  const agencies = [...model.books.keys()]
  const begin = connect(agencies[index % agencies.length]!, dialect, "right")
  yield* Effect.promise(() => begin.run(model, real))
  return model.connections.at(-1)!
})

/** Sends the next bets, or with `shift` earlier or later ones. */
const send = (index: number, count: number, shift: number, last: boolean) =>
  command(`send(${index}, ${count}, ${shift}, ${last})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      if (!connection.alive) return
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
        expectDisconnected(model, applyStored(model, connection, position, rows, saysLast))
      } else {
        // Binary packets have no refusal after the last packet, nor of a possible request.
        const isSilent = connection.finished || (book.excluded && rows.length === 0)
        if (connection.dialect === "binary" && isSilent) expect(heard.length).toBe(0)
        else expect(isRefused(connection, heard), "refused").toBe(true)
        expect(connection.peer.isClosed()).toBe(true)
        happened("a batch was refused")
        if (book.excluded) happened("a request of an excluded agency was refused")
        leave(model, connection)
      }
    })
  )

/** Sends the remaining bets and finishes the book. */
const sendRest = (index: number) =>
  command(`sendRest(${index})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      if (!connection.alive || connection.finished) return
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
      const { alive, position } = model.connections.at(-1)!
      if (!alive) return
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
      if (outcomeOfFinish(book, rows) === "stored") {
        expect(said).toMatchObject({ _tag: "Finished", bets: rows.length })
        if (!book.finished) expectDisconnected(model, becomeWriter(model, connection))
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
          : connection.finished ||
            (connection.dialect === "json" && !connection.present && !book.excluded)
      if (connection.dialect === "binary" && !mayAsk) return
      connection.peer.send(questionOf(connection))
      yield* real.settle
      if (mayAsk) {
        connection.waits = true
        connection.present = true
        return
      }
      if (book.excluded) happened("a request of an excluded agency was refused")
      expect(isRefused(connection, connection.peer.heard()), "asked too early").toBe(true)
      leave(model, connection)
    })
  )

/** A new JSON connection requests the winners of an agency, before or after the draw. */
const askAtOnce = (agency: number) =>
  command(`askAtOnce(${agency})`, (model, real) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => connect(agency, "json", "right").run(model, real))
      const last = model.connections.filter((one) => one.alive && !one.waits).length - 1
      yield* Effect.promise(() => ask(last).run(model, real))
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
      if (!connection.alive) return
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
        expectDisconnected(model, applyStored(model, connection, position, rows, saysLast))
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
      look(model, yield* Clock.currentTimeMillis)
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
      if (!connection.alive) return
      const book = model.books.get(connection.agency)!
      const { dialect, position } = connection
      const saysLast = last && dialect !== "native"
      const rows = connection.rows.slice(position, position + count)
      if (isQuestion(connection, rows)) return
      const before = book.held
      const { drawn: wasDrawn, winningNumber: announced } = model
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
      const now = yield* Clock.currentTimeMillis
      if (acknowledged) {
        expect(bets).toBe(book.held.length)
        look(model, now)
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
      if (!finished && !wasDrawn) {
        model.drawn = false
        model.winningNumber = announced
      }
      look(model, now)
      // Bets found after one restart must survive the next.
      if (next !== undefined) yield* real.restart(next)
    })
  )

/** Lets the server's periodic work run, such as the close at its time. */
const wait = (seconds: number) =>
  command(`wait(${seconds})`, (model, real) =>
    Effect.gen(function* () {
      yield* TestClock.adjust(`${seconds} seconds`)
      yield* real.settle
      expectDisconnected(model, look(model, yield* Clock.currentTimeMillis))
    })
  )

/** The same, but the machine stops on the way. */
const stopDuringWait = (seconds: number, operations: number, stop: Stop) =>
  command(`stopDuringWait(${[seconds, operations, stop]})`, (model, real) =>
    Effect.gen(function* () {
      real.stopAfter(operations)
      yield* TestClock.adjust(`${seconds} seconds`)
      yield* real.settle
      yield* real.restart(stop)
      forgetConnections(model)
      look(model, yield* Clock.currentTimeMillis)
    })
  )

// The acts of operators.

interface Act {
  readonly ask: (control: Control) => Effect.Effect<unknown, unknown>
  readonly plan: (model: Model) => Plan
  /**
   * Whether a stopped machine had done it, which the store may not show for a discard of nothing.
   * Not called for an act that would be refused.
   */
  readonly isDone: (model: Model, real: Real) => Effect.Effect<boolean | "unknown", unknown>
}

const draw = "default"

const discardAct = (agency: number, act: string): Act => ({
  ask: (control) => control.Discard({ draw, agency, act }),
  plan: (model) => planDiscard(model, agency, act),
  isDone: (model, real) =>
    Effect.map(real.store.progressOf(agency), ({ bets, finished }) => {
      const book = model.books.get(agency)!
      if (bets === 0 && book.held.length === 0 && !book.finished) return "unknown"
      if (bets === 0) return book.held.length > 0 || !finished
      // An interrupted discard keeps the bets, but the book may no longer be finished.
      if (!finished) book.finished = false
      return false
    })
})

const excludeAct = (agencies: ReadonlyArray<number>): Act => ({
  ask: (control) => control.Exclude({ draw, agencies: agencies as [number] }),
  plan: (model) => planExclude(model, agencies),
  isDone: (model, real) =>
    Effect.map(
      Effect.forEach(agencies, (agency) => real.store.progressOf(agency)),
      (found) =>
        found.some(({ excluded }, at) => excluded && !model.books.get(agencies[at]!)!.excluded)
    )
})

const storedDraw = (real: Real) => Effect.map(real.store.draw, Option.getOrThrow)

const moveAct = (closesAt: number | undefined, now: number): Act => ({
  ask: (control) => control.MoveClose({ draw, closesAt: closesAt ?? null }),
  plan: (model) => planMoveClose(model, closesAt, now),
  isDone: (_model, real) => Effect.map(storedDraw(real), (stored) => stored.closesAt === closesAt)
})

const announceAct = (winningNumber: number): Act => ({
  ask: (control) => control.Announce({ draw, winningNumber }),
  plan: (model) => planAnnounce(model, winningNumber),
  isDone: (_model, real) =>
    Effect.map(storedDraw(real), (stored) => stored.winningNumber !== undefined)
})

const expectOutcome = (plan: Plan, outcome: Exit.Exit<unknown, unknown>) => {
  if ("refused" in plan) {
    expect(Exit.findErrorOption(outcome)).toMatchObject(Option.some({ code: plan.refused }))
  } else {
    expect(outcome).toEqual(Exit.succeed(plan.answer))
  }
}

const perform = Effect.fnUntraced(function* (model: Model, real: Real, act: Act) {
  const plan = act.plan(model)
  const outcome = yield* Effect.exit(real.act(act.ask))
  yield* real.settle
  expectOutcome(plan, outcome)
  const gone = "apply" in plan ? plan.apply() : []
  expectDisconnected(model, [...gone, ...look(model, yield* Clock.currentTimeMillis)])
})

/** Makes an act from what the model and the clock say. */
type MakeAct = (model: Model, now: number) => Act | undefined

/** Performs an act, perhaps twice. */
const operate = (name: string, make: MakeAct, twice: boolean) =>
  command(`operate(${name}, ${twice})`, (model, real) =>
    Effect.gen(function* () {
      const act = make(model, yield* Clock.currentTimeMillis)
      if (act === undefined) return
      yield* perform(model, real, act)
      if (twice) yield* perform(model, real, act)
    })
  )

/** Stops the machine during an act. The operator then asks for the same act again, or does not. */
const stopDuringAct = (
  name: string,
  make: MakeAct,
  operations: number,
  stop: Stop,
  again: boolean
) =>
  command(`stopDuringAct(${[name, operations, stop, again]})`, (model, real) =>
    Effect.gen(function* () {
      const act = make(model, yield* Clock.currentTimeMillis)
      if (act === undefined) return
      const plan = act.plan(model)
      real.stopAfter(operations)
      const outcome = yield* real.actUntilStopped(act.ask)
      if (real.hasStopped()) happened("a machine stopped in the middle of an act")
      yield* real.restart(stop)
      forgetConnections(model)
      if (outcome !== undefined) expectOutcome(plan, outcome)
      const isChange = "apply" in plan
      const isDone = outcome !== undefined || (isChange && (yield* act.isDone(model, real)))
      if (isChange && isDone === true) plan.apply()
      if (isChange && outcome === undefined) {
        happened(
          isDone === true ? "an unacknowledged act was done" : "an unacknowledged act was not done"
        )
      }
      look(model, yield* Clock.currentTimeMillis)
      // A discard of nothing that was done is answered, and refused otherwise.
      const isAmbiguous = isDone === "unknown" && "refused" in act.plan(model)
      if (again && !isAmbiguous) yield* perform(model, real, act)
    })
  )

/** Repeats a discard that has been done, whatever was sent since. */
const repeatDiscard: MakeAct = ({ books, discarded }) => {
  const [id, done] = [...discarded].at(-1) ?? []
  if (id === undefined || done === undefined) return undefined
  if (books.get(done.agency)!.held.length > 0) {
    happened("a discard was repeated after the corrected book")
  }
  return discardAct(done.agency, id)
}

/** Returns the next bets of a connection, or a native Finish, and predicts their answer. */
const nextFrame = (model: Model, connection: ModelledConnection, count: number, ends: boolean) => {
  const { agency, dialect, finished, position } = connection
  if (!connection.alive || finished) return undefined
  const book = model.books.get(agency)!
  if (ends && dialect === "native") {
    const rows = connection.rows.slice(0, position)
    const outcome = outcomeOfFinish(book, rows)
    return { rows: [], frame: M.finishOf(fieldsOf(rows)), outcome, end: position }
  }
  const rows = connection.rows.slice(position, ends ? connection.rows.length : position + count)
  if (rows.length === 0) return undefined
  const outcome = outcomeOf(book, connection, position, rows, ends)
  const frame = frameOf(connection, position, rows, ends)
  return { rows, frame, outcome, end: position + rows.length }
}

/**
 * Excludes an agency while its bets, or the end of its book, arrive. Either may come first, but an
 * acknowledged end and an acknowledged exclusion never meet.
 */
const race = (index: number, count: number, ends: boolean, turns: number) =>
  command(`race(${[index, count, ends, turns]})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      const next = nextFrame(model, connection, count, ends)
      if (next === undefined) return
      const { end, frame, outcome, rows } = next
      const { agency, position } = connection
      const act = excludeAct([agency])
      const later = Effect.repeat(Effect.yieldNow, { times: Math.abs(turns) })
      if (turns >= 0) connection.peer.send(frame)
      if (turns > 0) yield* later
      const acting = yield* Effect.forkChild(real.act(act.ask))
      if (turns < 0) {
        yield* later
        connection.peer.send(frame)
      }
      const excluded = yield* Fiber.await(acting)
      yield* real.settle
      const heard = connection.peer.heard()
      const rest = afterStored(connection, heard, end)
      if (rest !== undefined) {
        expect(outcome).toBe("stored")
        expectDisconnected(model, applyStored(model, connection, position, rows, ends))
      } else if (outcome === "stored") happened("an exclusion came before the bets")
      const plan = act.plan(model)
      expectOutcome(plan, excluded)
      if (Exit.isFailure(excluded) && rest !== undefined && ends) {
        happened("the end of a book came before the exclusion")
      }
      const gone = "apply" in plan ? plan.apply() : []
      const all = [...gone, ...look(model, yield* Clock.currentTimeMillis)]
      expectDisconnected(
        model,
        all.filter((one) => one !== connection)
      )
      const left = rest ?? heard
      if (rest === undefined) leave(model, connection)
      if (rest !== undefined && connection.alive) return expect(left.length).toBe(0)
      expect(left.length > 0 && isRefused(connection, left), "refused").toBe(true)
      expect(connection.peer.isClosed()).toBe(true)
    })
  )

/** Excludes an agency while the writer of its whole book finishes it. */
const raceWithFinish = (agency: number, turns: number) =>
  command(`raceWithFinish(${[agency, turns]})`, (model, real) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => connect(agency, "native", "right").run(model, real))
      const newest = () => model.connections.filter((one) => one.alive && !one.waits).length - 1
      const connection = model.connections.at(-1)!
      if (!connection.alive || connection.finished) return
      const count = connection.rows.length - connection.position
      yield* Effect.promise(() => send(newest(), count, 0, false).run(model, real))
      if (!connection.alive) return
      yield* Effect.promise(() => race(newest(), 0, true, turns).run(model, real))
    })
  )

/** Excludes an agency while the end of its book arrives, but the machine stops on the way. */
const stopDuringRace = (index: number, isLate: boolean, operations: number, stop: Stop) =>
  command(`stopDuringRace(${[index, isLate, operations, stop]})`, (model, real) =>
    Effect.gen(function* () {
      const connection = yield* pickOrConnect(model, real, index)
      const next = nextFrame(model, connection, 0, true)
      if (next === undefined) return
      const { agency, peer, position } = connection
      const book = model.books.get(agency)!
      const whole = [...book.held, ...next.rows.slice(Math.max(0, book.held.length - position))]
      const act = excludeAct([agency])
      const plan = act.plan(model)
      real.stopAfter(operations)
      if (!isLate) peer.send(next.frame)
      const acting = yield* Effect.forkChild(real.actUntilStopped(act.ask))
      if (isLate) peer.send(next.frame)
      const exclusion = yield* Fiber.join(acting)
      const isAcknowledged = afterStored(connection, peer.heard(), next.end) !== undefined
      yield* real.restart(stop)
      forgetConnections(model)
      const { bets, excluded, finished } = yield* real.store.progressOf(agency)
      expect(finished && excluded).toBe(false)
      if (isAcknowledged) expect({ bets, finished }).toEqual({ bets: whole.length, finished: true })
      if (exclusion !== undefined && Exit.isSuccess(exclusion)) expect(excluded).toBe(true)
      expect(bets).toBeGreaterThanOrEqual(book.held.length)
      expect(bets).toBeLessThanOrEqual(next.outcome === "stored" ? whole.length : book.held.length)
      if (finished && !book.finished) expect(next.outcome).toBe("stored")
      book.held = whole.slice(0, bets)
      book.finished = finished
      if (excluded && "apply" in plan) plan.apply()
      look(model, yield* Clock.currentTimeMillis)
    })
  )

const index = fc.nat(5)
const count = fc.nat(4)
const STOPS: ReadonlyArray<Stop> = [0, 0.3, 0.7, 1, "end", "killed"]
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

const waits = fc.integer({ min: 1, max: 2 })
/** How long the exclusion waits for the bets, or the bets for the exclusion. */
const turns = fc.integer({ min: -30, max: 30 })
const moves = fc.oneof(fc.integer({ min: -1, max: 6 }), fc.constant(undefined))
const named = (name: string, make: MakeAct) => [name, make] as const
const announcements = fc
  .constantFrom(WINNING, OTHER)
  .map((number) => named(`announce ${number}`, () => announceAct(number)))
/** The acts of an operator on a draw with these agencies. */
const actsOn = (agency: fc.Arbitrary<number>) =>
  fc.oneof(
    agency.map((one) => named(`discard ${one}`, () => discardAct(one, randomUUID()))),
    fc
      .oneof(
        agency.map((one) => [one]),
        fc.uniqueArray(agency, { minLength: 2, maxLength: 2 })
      )
      .map((some) => named(`exclude ${some}`, () => excludeAct(some))),
    moves.map((seconds) =>
      named(`move ${seconds}`, (_model, now) =>
        moveAct(seconds === undefined ? undefined : now + seconds * 1000, now)
      )
    ),
    announcements
  )

/** What agencies and machines do. */
const ofAgencies = (agency: fc.Arbitrary<number>): Array<fc.Arbitrary<Command>> => [
  fc.tuple(agency, fc.constantFrom(...DIALECTS), variant).map((args) => connect(...args)),
  fc.tuple(agency, fc.constantFrom(...DIALECTS), variant).map((args) => connect(...args)),
  fc.tuple(index, count, shift, fc.boolean()).map((args) => send(...args)),
  fc.tuple(index, count, shift, fc.constant(false)).map((args) => send(...args)),
  index.map(sendRest),
  index.map(sendRest),
  fc.tuple(agency, fc.constantFrom(...DIALECTS)).map((args) => rival(...args)),
  fc.tuple(agency, fc.constantFrom(...DIALECTS)).map((args) => rival(...args)),
  fc.tuple(index, fc.boolean(), fc.boolean()).map((args) => finishCommand(...args)),
  index.map(ask),
  agency.map(askAtOnce),
  index.map(drop),
  fc.tuple(index, count, fc.boolean()).map((args) => loseAnswer(...args)),
  fc.constantFrom(...STOPS).map(restart),
  fc.tuple(index, count, fc.boolean(), operations, stops).map((args) => stopDuring(...args)),
  waits.map(wait),
  agency.map((one) => operate(`discard ${one}`, () => discardAct(one, randomUUID()), false))
]

const stopsDuring = (act: ReturnType<typeof actsOn>) =>
  fc
    .tuple(act, fc.oneof(fc.nat(12), fc.nat(25)), fc.constantFrom(...STOPS), fc.boolean())
    .map(([[name, make], ...args]) => stopDuringAct(name, make, ...args))

/** What operators do. */
const ofOperators = (
  agency: fc.Arbitrary<number>,
  act = actsOn(agency)
): Array<fc.Arbitrary<Command>> => [
  fc.tuple(act, fc.boolean()).map(([[name, make], twice]) => operate(name, make, twice)),
  fc.tuple(act, fc.boolean()).map(([[name, make], twice]) => operate(name, make, twice)),
  announcements.map((args) => operate(...args, false)),
  fc.constant(operate("repeatDiscard", repeatDiscard, false)),
  stopsDuring(act),
  stopsDuring(act),
  fc.tuple(waits, fc.nat(12), fc.constantFrom(...STOPS)).map((args) => stopDuringWait(...args)),
  fc.tuple(index, fc.integer({ min: 1, max: 4 }), fc.boolean(), turns).map((args) => race(...args)),
  fc.tuple(agency, turns).map((args) => raceWithFinish(...args)),
  fc
    .tuple(index, fc.boolean(), fc.nat(16), fc.constantFrom(...STOPS))
    .map((args) => stopDuringRace(...args))
]

const commands = (list: ReadonlyArray<fc.Arbitrary<Command>>) =>
  fc.commands([...list], { maxCommands: 40, size: "max" })

const two = fc.constantFrom(1, 2)
const three = fc.constantFrom(1, 2, 3)
/** Draws without operators, of two agencies, which finish more often, and others. */
const runs = fc.oneof(
  fc.tuple(
    fc.constant({ agencies: [1, 2] as const, fixed: WINNING, closes: undefined }),
    commands(ofAgencies(two))
  ),
  fc.tuple(
    fc.record({
      agencies: fc.constant([1, 2, 3] as const),
      /** The fixed number; otherwise it is announced. */
      fixed: fc.constantFrom(WINNING, undefined),
      /** The close time in seconds. */
      closes: fc.oneof(fc.constant(undefined), fc.integer({ min: 1, max: 8 }))
    }),
    commands([...ofAgencies(three), ...ofOperators(three)])
  )
)

/** Runs random commands; a failure has the seed, path and commands of the smallest failing run. */
const check = (flaws: Flaws, numRuns: number) =>
  fc.check(
    fc.asyncProperty(runs, ([{ agencies, closes, fixed }, list]) =>
      fc.asyncModelRun(async () => {
        const closeAt = closes === undefined ? undefined : closes * 1000
        const real = new ModelMachine(agencies, WINNING, flaws, {
          source: fixed === undefined ? { _tag: "announced" } : fixedNumber(fixed),
          ...(closeAt === undefined ? {} : { closeAt })
        })
        await runtime.dispose()
        runtime = newRuntime()
        await runtime.runPromise(real.start)
        return { model: newModel(agencies, fixed, closeAt), real }
      }, list)
    ),
    { numRuns, endOnFailure: Object.keys(flaws).length > 0 }
  )

const withoutRepeatedRows = (batch: BetBatch): BetBatch => {
  const rows = new Set(batch.rows())
  return new BetBatch(Buffer.from([...rows].map((row) => `${row}\n`).join("")), rows.size)
}

/** A store that acknowledges a write of an excluded agency. */
const withoutExcluded =
  (write: "append" | "finish") =>
  (store: Store): Store => ({
    ...store,
    [write]: (...args: never) =>
      Effect.catchTag(
        (store[write] as (...all: never) => Effect.Effect<void, Excluded>)(...args),
        "Excluded",
        () => Effect.void
      )
  })

const describeFailure = (result: Awaited<ReturnType<typeof check>>): string =>
  result.failed ? `${fc.defaultReportMessage(result)}\n${result.errorInstance}` : ""

describe("the server against its model", () => {
  it("behaves the same, whatever fails", async () => {
    seen.clear()
    const result = await check({}, RUNS)
    expect(result.failed, describeFailure(result)).toBe(false)
    for (const what of EVENTS) expect(seen.get(what) ?? 0, what).toBeGreaterThan(RUNS / 300)
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
    ],
    ["the end of an excluded agency's book is let through", { store: withoutExcluded("finish") }],
    ["bets of an excluded agency are let through", { store: withoutExcluded("append") }],
    [
      "the outcome of a discard is known only until the restart",
      {
        store: (store) => {
          const known = new Map<string, number>()
          return {
            ...store,
            discard: Effect.fnUntraced(function* (agency, act) {
              const done = known.get(act)
              if (done !== undefined) return done
              const bets = yield* store.discard(agency, randomUUID())
              known.set(act, bets)
              return bets
            })
          }
        }
      }
    ]
  ]
  it.each(flaws)(
    "%s",
    async (_what, flaw) => {
      // Ends at the first difference.
      const result = await check(flaw, 5_000)
      expect(result.failed).toBe(true)
    },
    300_000
  )
})
