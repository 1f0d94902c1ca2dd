/**
 * Goal: a power cut leaves an operator's act on a CSV store done or not done, never half; an
 * acknowledged act stays done, and the same act again ends as if it had been given once. Method:
 * the power is cut after each disk operation of the act in turn, with none, some or all of the
 * unsynced data on the disk. Then the store is opened again.
 */
import { isDeepStrictEqual } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Draw } from "../../../../src/domain/Draw.ts"
import { type AgencyProgress, BetStore } from "../../../../src/server/store/BetStore.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import * as CrashDisk from "../../../support/stores/CrashDisk.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bookOf, bytesOf, winnersIn } from "../BetStore.conformance.ts"
import { sealOf } from "../Sealing.conformance.ts"

type Store = BetStore["Service"]

const TOO_MANY = 100
const KEPT = [0, 0.7, 1] as const
const NUMBER = 7574
const ACT = "act"
/** The book of agency 2 with two marks. */
const LONG = bets(2, 0, 4000)
const draw = new Draw({
  id: "default",
  agencies: [1, 2, 3],
  source: { _tag: "announced" },
  closeAt: 1000
})

const finish = (store: Store, agency: number) =>
  store.append(agency, 0, bets(agency, 0, 20), { last: whole(bets(agency, 0, 20)) })

/** Stores the finished books of agencies 1 and 3, and an unfinished book of agency 2. */
const fill = Effect.fnUntraced(function* (store: Store) {
  yield* store.openDraw(draw)
  yield* finish(store, 1)
  yield* store.append(2, 0, bets(2, 0, 10))
  yield* finish(store, 3)
})

/** All that a store says, except for the agencies' editions. */
const contentOf = Effect.fnUntraced(function* (store: Store) {
  const agencies: Array<Omit<AgencyProgress, "edition"> & { readonly text: string }> = []
  for (const agency of draw.agencies) {
    const { edition: _, ...progress } = yield* store.progressOf(agency)
    const { text } = yield* bookOf(agency)
    agencies.push({ ...progress, text })
  }
  return {
    draw: yield* store.draw,
    agencies,
    digests: yield* store.digests,
    evidence: yield* store.evidence,
    winners: yield* winnersIn(store)
  }
})
type Content = Effect.Success<ReturnType<typeof contentOf>>

/** Records the entries of the same seal each time. */
const sealBooks = (store: Store) => Effect.flatMap(sealOf(store, draw), store.recordEntries)

interface Act {
  readonly before?: (store: Store) => Effect.Effect<unknown, unknown>
  readonly run: (store: Store) => Effect.Effect<unknown, unknown>
  /** It may leave the book of agency 2 unfinished. */
  readonly mayUnfinish?: boolean
  /** Its answer is stored, and is the same whenever it is asked again. */
  readonly isRemembered?: boolean
}

const ACTS: Readonly<Record<string, Act>> = {
  "an exclusion": { run: (store) => store.exclude([2]) },
  "a close at its time": {
    // The test clock stands at 0.
    before: (store) => store.moveClose(0),
    run: (store) => store.closeIfDue
  },
  "a moved close": { run: (store) => store.moveClose(2000) },
  "a number": {
    before: (store) => store.exclude([2]),
    run: (store) => store.recordNumber(NUMBER)
  },
  "a draw": {
    before: (store) => Effect.andThen(store.exclude([2]), store.recordNumber(NUMBER)),
    run: (store) => store.recordDraw
  },
  "the entries of a seal": {
    before: (store) => store.exclude([2]),
    run: (store) => sealBooks(store)
  },
  "a signed seal": {
    before: (store) => Effect.andThen(store.exclude([2]), sealBooks(store)),
    run: (store) => store.recordNote("seal", "seal\n")
  },
  "a number and its round": {
    before: (store) => Effect.andThen(store.exclude([2]), sealBooks(store)),
    run: (store) => store.recordNumber(NUMBER, { round: 1000, signature: "ab".repeat(48) })
  },
  "a signed result": { run: (store) => store.recordNote("result", "result\n") },
  "a finish with the first marks": {
    before: (store) => store.append(2, 10, LONG.drop(10)),
    run: (store) => store.finish(2, LONG.count, whole(LONG))
  },
  "a finish with more marks": {
    before: (store) =>
      Effect.andThen(
        store.append(4, 0, LONG, { last: whole(LONG) }),
        store.append(2, 10, LONG.drop(10))
      ),
    run: (store) => store.finish(2, LONG.count, whole(LONG))
  },
  "a discard": { run: (store) => store.discard(2, ACT), isRemembered: true },
  "a discard of a finished book": {
    before: (store) => store.finish(2, 10, whole(bets(2, 0, 10))),
    run: (store) => store.discard(2, ACT),
    mayUnfinish: true,
    isRemembered: true
  },
  "a discard of no bets": {
    before: (store) => Effect.andThen(store.discard(2, "earlier"), store.finish(2, 0, whole())),
    run: (store) => store.discard(2, ACT),
    isRemembered: true
  }
}

/** A machine with a store, which `on` opens, uses and closes. */
const makeMachine = () => {
  const machine = CrashDisk.make("/there")
  const at = { path: "bets.csv", drawId: draw.id }
  // Without its lock, the store uses only this disk.
  const on = <A, E>(use: (store: Store) => Effect.Effect<A, E, BetStore>) =>
    CsvStore.openStore(machine.attach(), "/there/bets.csv", at).pipe(
      Effect.flatMap((store) => Effect.provideService(use(store), BetStore, store)),
      Effect.scoped
    )
  return { machine, on }
}

const prepared = Effect.fnUntraced(function* ({ before = () => Effect.void }: Act) {
  const made = makeMachine()
  yield* made.on((store) => Effect.andThen(fill(store), before(store)))
  return made
})

type Left = "nothing" | "an unfinished book" | "everything"

const leftOf = (content: Content, before: Content, after: Content): Left => {
  if (isDeepStrictEqual(content, after)) return "everything"
  if (isDeepStrictEqual(content, before)) return "nothing"
  const [one, two, three] = before.agencies
  const agencies = [one, { ...two, finished: false }, three]
  const digests = new Map([...before.digests].filter(([agency]) => agency !== 2))
  expect(content).toEqual({ ...before, agencies, digests })
  return "an unfinished book"
}

/** Runs an act until it ends or the machine stops; returns its outcome if there is one. */
const runUntilStopped = Effect.fnUntraced(function* (
  { machine, on }: ReturnType<typeof makeMachine>,
  { run }: Act,
  operations: number
) {
  let outcome: Exit.Exit<unknown, unknown> | undefined
  // Detached, because it waits forever once the disk has stopped.
  const acting = yield* Effect.forkDetach(
    on((store) => {
      machine.stopAfter(operations)
      return Effect.map(Effect.exit(run(store)), (exit) => {
        outcome = exit
      })
    })
  )
  while (!machine.hasStopped() && acting.pollUnsafe() === undefined) yield* Effect.yieldNow
  return outcome
})

/** Repeats a discard. If it was done, it is also repeated after the corrected book. */
const repeat =
  ({ run }: Act, answer: unknown, left: Left) =>
  (store: Store) =>
    Effect.gen(function* () {
      if (left !== "everything") return expect(yield* run(store)).toBe(answer)
      const corrected = bets(2, 50, 3)
      yield* store.append(2, 0, corrected)
      expect(yield* run(store)).toBe(answer)
      expect((yield* bookOf(2)).text).toBe(bytesOf([corrected]))
      expect(yield* store.discard(2, "another act")).toBe(3)
    })

describe("a power cut leaves done or not done", () => {
  it.effect.each(Object.entries(ACTS))("%s", ([, act]) =>
    Effect.gen(function* () {
      const clean = yield* prepared(act)
      const before = yield* clean.on(contentOf)
      const answer = yield* clean.on(act.run)
      const after = yield* clean.on(contentOf)
      expect(after).not.toEqual(before)
      const seen = new Set<Left>()
      for (const kept of KEPT) {
        let hasStopped = true
        for (let operation = 1; hasStopped; operation++) {
          expect(operation).toBeLessThan(TOO_MANY)
          const made = yield* prepared(act)
          const outcome = yield* runUntilStopped(made, act, operation)
          hasStopped = made.machine.hasStopped()
          made.machine.cut(kept)
          const left = leftOf(yield* made.on(contentOf), before, after)
          seen.add(left)
          if (outcome !== undefined) {
            expect(outcome).toEqual(Exit.succeed(answer))
            expect(left).toBe("everything")
          }
          if (act.isRemembered) yield* made.on(repeat(act, answer, left))
          else yield* made.on(act.run)
          expect(yield* made.on(contentOf)).toEqual(after)
        }
      }
      const may: ReadonlyArray<Left> = act.mayUnfinish ? ["an unfinished book"] : []
      expect(seen).toEqual(new Set(["nothing", ...may, "everything"]))
    })
  )
})
