/**
 * Goal: an operator can give the beacon of a draw whose number comes from drand, with a server and
 * without one; no other number, round or signature is accepted. Method: the control client on real
 * stores, with a real round of quicknet, and the test clock.
 */
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { fixedNumber, type NumberSource } from "../../../../src/domain/Draw.ts"
import { timeOfRound } from "../../../../src/domain/seal/Quicknet.ts"
import * as ControlClient from "../../../../src/server/operator/control/ControlClient.ts"
import {
  drawOf,
  finish,
  finishAll,
  recordedSeal,
  serve
} from "../../../support/model/SealedLottery.ts"
import { SIGNATURES, until } from "../../../support/peers/DrandEnd.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const ROUND = 1000
const NUMBER = 6286
const BEFORE = 1000 * (timeOfRound(ROUND) - 100)
const AT_ROUND: NumberSource = { _tag: "drand", at: { round: ROUND } }
const DELAYED: NumberSource = { _tag: "drand", at: { delaySeconds: 100 } }

const urlIn = (scheme: "sqlite" | "csv") =>
  Effect.map(temporaryFolder, (folder) => ({ _tag: scheme, path: join(folder, "store") }))
type Url = Effect.Success<ReturnType<typeof urlIn>>

const announce = (url: Url, winningNumber: number) =>
  ControlClient.act(url, "default", (control) =>
    control.Announce({ draw: "default", winningNumber })
  )

const give = (url: Url, round: number = ROUND, signature: string = SIGNATURES[ROUND]) =>
  ControlClient.act(url, "default", (control) =>
    control.AnnounceBeacon({ draw: "default", round, signature })
  )

const refused = (code: string, reason: string) =>
  expect.objectContaining({ _tag: "ActFailed", code, reason: expect.stringContaining(reason) })

/** Checks everything that is refused once the draw is sealed, and then gives the beacon. */
const giveAtLast = Effect.fnUntraced(function* (url: Url) {
  for (const number of [1234, NUMBER]) {
    expect(yield* Effect.flip(announce(url, number))).toEqual(
      refused("WrongSource", "comes from drand: give its round with --beacon")
    )
  }
  for (const round of [1, ROUND - 1, ROUND + 1]) {
    expect(yield* Effect.flip(give(url, round, SIGNATURES[1001]))).toEqual(
      refused("WrongRound", `expected the beacon of round ${ROUND}, got round ${round}`)
    )
  }
  const forged = [
    SIGNATURES[1001],
    SIGNATURES[ROUND].toUpperCase(),
    `c0${"0".repeat(94)}`,
    SIGNATURES[ROUND].slice(2),
    ""
  ]
  for (const signature of forged) {
    expect(yield* Effect.flip(give(url, ROUND, signature))).toEqual(
      refused("ForgedBeacon", `the signature of round ${ROUND} is not quicknet's`)
    )
  }
  expect(yield* give(url)).toBe(NUMBER)
  expect(yield* give(url)).toBe(NUMBER)
  expect(yield* Effect.flip(announce(url, NUMBER))).toEqual(refused("WrongSource", "drand"))
})

describe.each(["sqlite", "csv"] as const)("the beacon of a draw in a %s store", (scheme) => {
  it.effect.each([true, false])("is given to the server (sealed: %s)", (isSealed) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(BEFORE)
      const url = yield* urlIn(scheme)
      const server = yield* serve(url, drawOf(DELAYED, isSealed))
      const { logged, lottery, store } = server
      yield* finish(store, 1)
      expect(yield* Effect.flip(give(url))).toEqual(
        refused("NotSealed", "the draw is not sealed yet")
      )
      yield* finish(store, 2)
      yield* finish(store, 7)
      yield* lottery.lookAgain
      yield* until(() => logged("waiting_for_round").length > 0)
      yield* giveAtLast(url)
      expect(yield* lottery.winnersOf(7)).toMatchObject({
        winningNumber: NUMBER,
        documents: ["3143"]
      })
      const line = `action: number_announced | result: success | round: ${ROUND} | winning_number`
      expect(logged("number_announced").filter((found) => found.startsWith(line))).toEqual([
        `${line}: ${NUMBER}`,
        `${line}: ${NUMBER}`
      ])
    })
  )

  it.effect("is given without a server, and the next one holds the draw", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(BEFORE)
      const url = yield* urlIn(scheme)
      const first = yield* serve(url, drawOf(AT_ROUND))
      yield* finishAll(first)
      yield* until(() => first.logged("waiting_for_round").length > 0)
      yield* first.stop
      yield* giveAtLast(url)
      const next = yield* serve(url, drawOf(AT_ROUND))
      expect(yield* next.lottery.winnersOf(7)).toMatchObject({ winningNumber: NUMBER })
      expect(Option.getOrThrow(yield* next.store.draw).beacon).toEqual({
        round: ROUND,
        signature: SIGNATURES[ROUND]
      })
      yield* recordedSeal(next.store)
    })
  )

  it.effect("is refused before the books are closed, and in draws of another source", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(BEFORE)
      const url = yield* urlIn(scheme)
      yield* serve(url, drawOf(AT_ROUND))
      expect(yield* Effect.flip(give(url))).toEqual(
        refused("NotAllFinished", "the draw is waiting for agencies 1, 2, 7")
      )
      for (const source of [fixedNumber(NUMBER), { _tag: "announced" }] as const) {
        const other = yield* urlIn(scheme)
        const server = yield* serve(other, drawOf(source))
        yield* finishAll(server)
        expect(yield* Effect.flip(give(other))).toEqual(
          refused("WrongSource", "the winning number of the draw does not come from drand")
        )
      }
    })
  )
})
