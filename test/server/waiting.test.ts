/**
 * Goal: an agency that waits for the draw receives the number of finished agencies as often as
 * specified (docs/wire.md, "Native"). Method: the conversation within this process, on the test
 * clock.
 */
import { randomUUID } from "node:crypto"
import { it } from "@effect/vitest"
import { Effect, Latch } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { StoreUnavailable } from "../../src/server/store/BetStore.ts"
import { type Flaws, ModelMachine, type ModelPeer } from "../support/model/ModelMachine.ts"
import * as M from "../support/peers/messages.ts"
import { whole } from "../support/wholeBook.ts"

/** The messages that a peer has received since the last call. */
const heardBy = (machine: ModelMachine, peer: ModelPeer) =>
  Effect.map(machine.settle, () => M.controlsIn(peer.heard()))

const waiting = (finished: number) => ({ _tag: "Waiting", finished, expected: 3 })

const finished = Effect.fnUntraced(function* (machine: ModelMachine, agency: number) {
  const peer = yield* machine.connect("native")
  peer.send(Buffer.concat([M.helloOf(agency), M.finishOf([])]))
  expect((yield* heardBy(machine, peer)).map(({ _tag }) => _tag)).toEqual(["Welcome", "Finished"])
  return peer
})

describe("an agency that waits", () => {
  it.effect("receives the standing at once, every 15 s, and changes at most once per second", () =>
    Effect.gen(function* () {
      const machine = new ModelMachine([1, 2, 3], 7574)
      yield* machine.start
      const peer = yield* finished(machine, 1)
      peer.send(M.AWAIT_WINNERS)
      expect(yield* heardBy(machine, peer)).toEqual([waiting(1)])
      for (let times = 0; times < 3; times++) {
        yield* TestClock.adjust("14999 millis")
        expect(yield* heardBy(machine, peer)).toEqual([])
        yield* TestClock.adjust("1 milli")
        expect(yield* heardBy(machine, peer)).toEqual([waiting(1)])
      }
      yield* finished(machine, 2)
      yield* TestClock.adjust("999 millis")
      expect(yield* heardBy(machine, peer)).toEqual([])
      yield* TestClock.adjust("1 milli")
      expect(yield* heardBy(machine, peer)).toEqual([waiting(2)])
      yield* TestClock.adjust("5 seconds")
      yield* finished(machine, 3)
      expect(yield* heardBy(machine, peer)).toEqual([
        waiting(3),
        { _tag: "Winners", number: 7574, documents: [], more: false }
      ])
    })
  )

  it.effect("is disconnected when its book is discarded, and no longer counts as finished", () =>
    Effect.gen(function* () {
      const machine = new ModelMachine([1, 2, 3], 7574)
      yield* machine.start
      const [first, second] = [yield* finished(machine, 1), yield* finished(machine, 2)]
      for (const peer of [first, second]) peer.send(M.AWAIT_WINNERS)
      yield* machine.settle
      yield* machine.discard(1)
      const said = yield* heardBy(machine, first)
      expect(said.at(-1)).toMatchObject({ _tag: "Rejected", code: "Superseded" })
      expect(said.at(-1)?.message).toContain("agency 1 was discarded")
      expect(first.isClosed()).toBe(true)
      yield* heardBy(machine, second)
      yield* TestClock.adjust("1 second")
      expect(yield* heardBy(machine, second)).toEqual([waiting(1)])
    })
  )

  it.effect("stays connected if its dialect cannot report that its book was discarded", () =>
    Effect.gen(function* () {
      for (const goes of ["halfClose", "drop"] as const) {
        const machine = new ModelMachine([1, 2], 7574)
        yield* machine.start
        const peer = yield* machine.connect("binary")
        peer.send(Buffer.concat([M.packetOf(1, [M.fields(10)], false), M.packet("1;", false)]))
        yield* machine.settle
        yield* machine.discard(1)
        expect(peer.isClosed()).toBe(false)
        peer[goes]()
        yield* machine.settle
        expect(peer.isClosed()).toBe(true)
        expect(peer.heard()).toEqual(M.STORED)
      }
    })
  )
})

describe("an agency whose book is no longer finished", () => {
  const REFUSED = { _tag: "Rejected", code: "Superseded" }

  it.effect("is disconnected by the draw if no notice of the discard arrived", () =>
    Effect.gen(function* () {
      const machine = new ModelMachine([1, 2], 7574)
      yield* machine.start
      const peer = yield* finished(machine, 1)
      peer.send(M.AWAIT_WINNERS)
      yield* machine.settle
      yield* machine.store.discard(1, randomUUID())
      yield* finished(machine, 2)
      expect((yield* heardBy(machine, peer)).at(-1)).toMatchObject(REFUSED)
      yield* finished(machine, 1)
      expect(yield* machine.store.recordDraw).toBe(false)
    })
  )

  it.effect("is disconnected if its discard failed halfway", () =>
    Effect.gen(function* () {
      let isHalfway = false
      const halfway: Flaws["store"] = (store) => ({
        ...store,
        progress: Effect.map(store.progress, (all) => {
          const first = all.get(1)
          return isHalfway && first ? new Map(all).set(1, { ...first, finished: false }) : all
        })
      })
      const machine = new ModelMachine([1, 2, 3], 7574, { store: halfway })
      yield* machine.start
      const peer = yield* finished(machine, 1)
      peer.send(M.AWAIT_WINNERS)
      yield* machine.settle
      isHalfway = true
      yield* machine.lookAgain
      expect((yield* heardBy(machine, peer)).at(-1)).toMatchObject(REFUSED)
    })
  )
})

it.effect("an agency that got its winners is recorded 1 s after the store was unavailable", () =>
  Effect.gen(function* () {
    let failures = 2
    const machine = new ModelMachine([1], 7574, {
      store: (store) => ({
        ...store,
        told: (agency) =>
          Effect.suspend(() =>
            failures-- > 0
              ? Effect.fail(new StoreUnavailable({ reason: "away" }))
              : store.told(agency)
          )
      })
    })
    yield* machine.start
    const peer = yield* finished(machine, 1)
    peer.send(M.AWAIT_WINNERS)
    peer.halfClose()
    expect((yield* heardBy(machine, peer)).at(-1)).toMatchObject({ _tag: "Winners" })
    expect(peer.isClosed()).toBe(true)
    expect((yield* machine.store.progressOf(1)).told).toBe(false)
    yield* TestClock.adjust("1 second")
    yield* machine.settle
    expect((yield* machine.store.progressOf(1)).told).toBe(true)
  })
)

/** What the draw asks of the store. Each may fail for a while. */
const ASKED = ["progress", "recordDraw", "winners"] as const

describe("a draw that is due", () => {
  it.effect("is held once, however many notices arrive meanwhile", () =>
    Effect.gen(function* () {
      const free = yield* Latch.make()
      let draws = 0
      const slow: Flaws["store"] = (store) => ({
        ...store,
        recordDraw: Effect.suspend(() => {
          draws++
          return Effect.andThen(free.await, store.recordDraw)
        })
      })
      const machine = new ModelMachine([1, 2, 3], 7574, { store: slow })
      yield* machine.start
      const peer = yield* finished(machine, 1)
      yield* finished(machine, 2)
      yield* finished(machine, 3)
      peer.send(M.AWAIT_WINNERS)
      for (let times = 0; times < 3; times++) yield* machine.lookAgain
      expect(draws).toBe(1)
      yield* free.open
      expect((yield* heardBy(machine, peer)).at(-1)).toMatchObject({ _tag: "Winners" })
      expect(draws).toBe(1)
    })
  )

  it.effect.each(ASKED)("is held 1 s after the store was unavailable: %s", (asked) =>
    Effect.gen(function* () {
      let failures = 0
      const away: Flaws["store"] = (store) => {
        const unlessAway = <A, E>(effect: Effect.Effect<A, E>) =>
          Effect.suspend((): Effect.Effect<A, E | StoreUnavailable> => {
            return failures-- > 0 ? Effect.fail(new StoreUnavailable({ reason: "away" })) : effect
          })
        const flawed = {
          progress: unlessAway(store.progress),
          recordDraw: unlessAway(store.recordDraw),
          winners: unlessAway(store.winners)
        }
        return { ...store, [asked]: flawed[asked] }
      }
      const machine = new ModelMachine([1, 2, 3], 7574, { store: away })
      yield* machine.start
      const peer = yield* finished(machine, 1)
      yield* finished(machine, 2)
      peer.send(M.AWAIT_WINNERS)
      expect(yield* heardBy(machine, peer)).toEqual([waiting(2)])
      yield* machine.store.append(3, 0, BetBatch.empty, { last: whole(BetBatch.empty) })
      failures = 2
      yield* machine.lookAgain
      for (const left of [1, 0]) {
        expect(failures).toBe(left)
        yield* TestClock.adjust("1 second")
        yield* machine.settle
      }
      expect((yield* heardBy(machine, peer)).at(-1)).toMatchObject({ _tag: "Winners" })
    })
  )
})
