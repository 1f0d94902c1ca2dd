/**
 * Goal: a draw closes at its time and not before, whatever the server and its clock do, and a
 * number that is announced afterwards is recorded once. Method: the server within this process, on
 * the test clock, which begins at 0.
 */
import { it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { StoreUnavailable } from "../../src/server/store/BetStore.ts"
import { type Flaws, ModelMachine, type ModelPeer } from "../support/model/ModelMachine.ts"
import { makeSettableClock } from "../support/model/SettableClock.ts"
import * as M from "../support/peers/messages.ts"

const CLOSE = 10_000
const BETS = [M.fields(10, 7574), M.fields(11, 1234)]

const machineWith = (closeAt: number, flaws: Flaws = {}) =>
  new ModelMachine([1, 2, 3], 7574, flaws, { closeAt })

const heardBy = (machine: ModelMachine, peer: ModelPeer) =>
  Effect.map(machine.settle, () => M.controlsIn(peer.heard()))

/** Connects an agency that sends its whole book and waits for its winners. */
const waiting = Effect.fnUntraced(function* (machine: ModelMachine, agency: number, bets = BETS) {
  const peer = yield* machine.connect("native")
  const book = bets.length > 0 ? [M.betsOf(0, bets)] : []
  peer.send(Buffer.concat([M.helloOf(agency), ...book, M.finishOf(bets), M.AWAIT_WINNERS]))
  expect((yield* heardBy(machine, peer)).at(-1)?._tag).toMatch(/Waiting|Winners/)
  return peer
})

/** Connects an agency that has sent two bets and does not finish. */
const late = Effect.fnUntraced(function* (machine: ModelMachine, agency: number) {
  const peer = yield* machine.connect("native")
  peer.send(Buffer.concat([M.helloOf(agency), M.betsOf(0, BETS)]))
  expect((yield* heardBy(machine, peer)).at(-1)).toEqual({ _tag: "Ack", bets: 2 })
  return peer
})

const adjust = (machine: ModelMachine, millis: number) =>
  Effect.andThen(TestClock.adjust(millis), machine.settle)

const excludedIn = (machine: ModelMachine) =>
  Effect.map(machine.store.progress, (progress) =>
    [...progress].filter(([, { excluded }]) => excluded).map(([agency]) => agency)
  )

const EXCLUDED = { _tag: "Rejected", code: "Excluded" }
const WINNERS = { _tag: "Winners", number: 7574, documents: ["10"], more: false }
const logged = (machine: ModelMachine, action: string) =>
  machine.log.filter((line) => line.startsWith(`action: ${action} |`))
const LOG = [
  "action: agency_excluded | result: success | agencia: 2 | cantidad: 2",
  "action: agency_excluded | result: success | agencia: 3 | cantidad: 0"
]
const DRAWN = [
  "action: sorteo | result: success | cantidad: 2 | cant_ganadores: 1 | excluidas: 2,3"
]

describe("a close time", () => {
  // With the longer one, the server looks at its clock several times before.
  it.effect.each([CLOSE, 600_000])(
    "of %i ms excludes the unfinished agencies then, and the draw is held",
    (closeAt) =>
      Effect.gen(function* () {
        const machine = machineWith(closeAt)
        yield* machine.start
        const first = yield* waiting(machine, 1)
        yield* adjust(machine, closeAt - 5000)
        const second = yield* late(machine, 2)
        yield* adjust(machine, 4999)
        expect(yield* excludedIn(machine)).toEqual([])
        yield* adjust(machine, 1)
        expect(yield* excludedIn(machine)).toEqual([2, 3])
        expect(yield* heardBy(machine, second)).toMatchObject([EXCLUDED])
        expect((yield* heardBy(machine, first)).at(-1)).toEqual(WINNERS)
        expect(logged(machine, "agency_excluded")).toEqual(LOG)
        expect(logged(machine, "sorteo")).toEqual(DRAWN)
      })
  )

  it.effect("that passed while no server ran closes the books before a server accepts", () =>
    Effect.gen(function* () {
      const machine = machineWith(CLOSE)
      yield* machine.start
      yield* waiting(machine, 1)
      yield* late(machine, 2)
      yield* machine.restart("killed")
      expect(yield* excludedIn(machine)).toEqual([])
      yield* machine.stop
      yield* adjust(machine, CLOSE)
      yield* machine.start
      expect(yield* excludedIn(machine)).toEqual([2, 3])
      expect(logged(machine, "agency_excluded")).toEqual(LOG)
      expect(logged(machine, "sorteo")).toEqual(DRAWN)
      const peer = yield* machine.connect("native")
      peer.send(M.helloOf(2))
      expect(yield* heardBy(machine, peer)).toMatchObject([EXCLUDED])
    })
  )

  it.effect("without a finished book waits for the first one, then excludes the others", () =>
    Effect.gen(function* () {
      const machine = machineWith(CLOSE)
      yield* machine.start
      yield* adjust(machine, CLOSE)
      const second = yield* late(machine, 2)
      yield* adjust(machine, 10_000)
      expect(yield* excludedIn(machine)).toEqual([])
      // A server that starts meanwhile waits too.
      yield* machine.restart("killed")
      expect(yield* excludedIn(machine)).toEqual([])
      const first = yield* waiting(machine, 1)
      yield* adjust(machine, 1000)
      expect(yield* excludedIn(machine)).toEqual([2, 3])
      expect((yield* heardBy(machine, first)).at(-1)).toEqual(WINNERS)
      expect(second.heard()).toHaveLength(0)
      expect(logged(machine, "agency_excluded")).toEqual(LOG)
    })
  )

  it.effect("that was moved counts instead, also after a start with the first one", () =>
    Effect.gen(function* () {
      const machine = machineWith(CLOSE)
      yield* machine.start
      yield* waiting(machine, 1)
      yield* machine.store.moveClose(3 * CLOSE)
      yield* machine.lookAgain
      yield* adjust(machine, CLOSE)
      expect(yield* excludedIn(machine)).toEqual([])
      yield* machine.restart("killed")
      yield* machine.restart("killed")
      yield* adjust(machine, CLOSE)
      expect(yield* excludedIn(machine)).toEqual([])
      // Back to an earlier time, which has not come either.
      yield* machine.store.moveClose(2 * CLOSE + 1)
      yield* machine.lookAgain
      expect(yield* excludedIn(machine)).toEqual([])
      yield* adjust(machine, 1)
      expect(yield* excludedIn(machine)).toEqual([2, 3])
      expect(yield* Effect.flip(machine.store.moveClose(9 * CLOSE))).toMatchObject({
        message: expect.stringContaining("every book of the draw is closed")
      })
    })
  )

  it.effect("that was removed never comes, and one that has come cannot be moved", () =>
    Effect.gen(function* () {
      const machine = machineWith(CLOSE)
      yield* machine.start
      yield* waiting(machine, 1)
      yield* machine.store.moveClose(undefined)
      yield* machine.lookAgain
      yield* adjust(machine, 50 * CLOSE)
      yield* machine.restart("killed")
      expect(yield* excludedIn(machine)).toEqual([])

      const other = machineWith(51 * CLOSE)
      yield* other.start
      yield* adjust(other, CLOSE)
      for (const closesAt of [99 * CLOSE, undefined]) {
        expect(yield* Effect.flip(other.store.moveClose(closesAt))).toMatchObject({
          message: "the close time 1970-01-01T00:08:30Z has passed, so it cannot be moved"
        })
      }
    })
  )

  it.effect("is met within a minute if the clock jumps over it", () =>
    Effect.gen(function* () {
      const { run, standStill } = yield* makeSettableClock
      yield* Effect.gen(function* () {
        const machine = machineWith(5_184_000_000)
        yield* machine.start
        yield* waiting(machine, 1)
        // 60 days, in which no timer fires.
        yield* standStill("60 days")
        expect(yield* excludedIn(machine)).toEqual([])
        yield* adjust(machine, 60_000)
        expect(yield* excludedIn(machine)).toEqual([2, 3])
      }).pipe(run)
    })
  )

  it.effect("does not come early if the clock is set back", () =>
    Effect.gen(function* () {
      const { run, setBack } = yield* makeSettableClock
      yield* Effect.gen(function* () {
        const machine = machineWith(CLOSE)
        yield* machine.start
        yield* waiting(machine, 1)
        yield* adjust(machine, CLOSE - 1)
        yield* setBack("5 minutes")
        yield* adjust(machine, 300_000)
        expect(yield* excludedIn(machine)).toEqual([])
        yield* adjust(machine, 1)
        expect(yield* excludedIn(machine)).toEqual([2, 3])
      }).pipe(run)
    })
  )

  it.effect("is met when the store is available again", () =>
    Effect.gen(function* () {
      let isDown = false
      const reason = "the test says so"
      const store: Flaws["store"] = (store) => ({
        ...store,
        closeIfDue: Effect.suspend(() =>
          isDown ? Effect.fail(new StoreUnavailable({ reason })) : store.closeIfDue
        )
      })
      const machine = machineWith(CLOSE, { store })
      yield* machine.start
      const first = yield* waiting(machine, 1)
      isDown = true
      yield* adjust(machine, 2 * CLOSE)
      expect(yield* excludedIn(machine)).toEqual([])
      expect(logged(machine, "sorteo")).toContain(
        `action: sorteo | result: fail | error: the store is unavailable: ${reason}`
      )
      isDown = false
      yield* adjust(machine, 1000)
      expect(yield* excludedIn(machine)).toEqual([2, 3])
      expect((yield* heardBy(machine, first)).at(-1)).toEqual(WINNERS)
    })
  )
})

describe("an announced number", () => {
  const announced = (closeAt?: number) =>
    new ModelMachine(
      [1, 2, 3],
      7574,
      {},
      {
        source: { _tag: "announced" },
        ...(closeAt !== undefined && { closeAt })
      }
    )

  const announce = (machine: ModelMachine, number: number) =>
    Effect.andThen(machine.store.recordNumber(number), machine.lookAgain)

  it.effect("is waited for once every book is closed, and is unknown until then", () =>
    Effect.gen(function* () {
      const machine = announced(CLOSE)
      yield* machine.start
      const first = yield* waiting(machine, 1)
      const empty = yield* waiting(machine, 3, [])
      expect(yield* Effect.flip(machine.store.recordNumber(1234))).toMatchObject({ missing: [2] })
      yield* adjust(machine, CLOSE)
      yield* adjust(machine, 5 * CLOSE)
      yield* machine.lookAgain
      expect(yield* excludedIn(machine)).toEqual([2])
      expect(logged(machine, "waiting_for_number")).toHaveLength(1)
      for (const peer of [first, empty]) {
        const heard = yield* heardBy(machine, peer)
        expect(new Set(heard.map(({ _tag }) => _tag))).toEqual(new Set(["Waiting"]))
        expect(heard.at(-1)).toEqual({ _tag: "Waiting", finished: 2, expected: 2 })
      }
      expect(
        JSON.stringify([Option.getOrThrow(yield* machine.store.draw), machine.log])
      ).not.toMatch(/7574|1234|winning_number/)
      yield* announce(machine, 1234)
      const told = { _tag: "Winners", number: 1234, more: false }
      expect((yield* heardBy(machine, first)).at(-1)).toEqual({ ...told, documents: ["11"] })
      expect((yield* heardBy(machine, empty)).at(-1)).toEqual({ ...told, documents: [] })
      expect(logged(machine, "sorteo")).toEqual([
        "action: sorteo | result: success | cantidad: 2 | cant_ganadores: 1 | excluidas: 2"
      ])
    })
  )

  for (const number of [0, 9999, 1234]) {
    it.effect(`can be ${number}, and a server that starts after it holds the draw`, () =>
      Effect.gen(function* () {
        const machine = announced()
        yield* machine.start
        const bets = [M.fields(20, 0), M.fields(21, 9999), M.fields(22, 1234)]
        for (const agency of [1, 2, 3]) yield* waiting(machine, agency, bets)
        // The server is killed between the number and the draw.
        yield* machine.store.recordNumber(number)
        expect(logged(machine, "sorteo")).toEqual([])
        yield* machine.restart("killed")
        expect(logged(machine, "sorteo")).toHaveLength(1)
        const documents = bets.filter((bet) => Number(bet[4]) === number).map((bet) => bet[2])
        const peer = yield* machine.connect("native")
        peer.send(Buffer.concat([M.helloOf(2), M.finishOf(bets), M.AWAIT_WINNERS]))
        expect((yield* heardBy(machine, peer)).at(-1)).toEqual({ ...WINNERS, number, documents })
        expect(yield* machine.store.recordNumber(number)).toBe(false)
        expect(yield* Effect.flip(machine.store.recordNumber(5))).toMatchObject({
          _tag: "OtherNumber",
          winningNumber: number
        })
      })
    )
  }
})
