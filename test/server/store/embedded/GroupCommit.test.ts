/** Group commit, with commits that wait for the test. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Tracer } from "effect"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import {
  BookMismatch,
  StoreBroken,
  StoreUnavailable
} from "../../../../src/server/store/BetStore.ts"
import {
  type CommitFailure,
  MAX_GROUP_BYTES,
  MIN_AHEAD_BYTES,
  makeWriter
} from "../../../../src/server/store/embedded/GroupCommit.ts"
import type { Outcome, Write } from "../../../../src/server/store/embedded/Write.ts"
import { whole } from "../../../support/wholeBook.ts"

/** Records commits and notes in order. Each commit ends with `outcome`. */
const gated = Effect.fnUntraced(function* (outcome: Effect.Effect<void, CommitFailure>) {
  const done: Array<string> = []
  const commit = (writes: ReadonlyArray<Write>) =>
    Effect.suspend(() => {
      done.push(`commit of ${writes.length}`)
      return Effect.as(
        outcome,
        writes.map(() => ({ kind: "done" }) as const)
      )
    })
  const writer = yield* makeWriter("default", commit)
  const note = writer.betweenCommits(Effect.sync(() => void done.push("note")))
  return { done, note, writer }
})

const start = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.forkChild(Effect.exit(effect), { startImmediately: true })

/** Commits wait for `gate`. Agency 7 fails its whole group, agency 3 only its own write. */
const gatedFinishes = Effect.gen(function* () {
  const groups: Array<ReadonlyArray<number>> = []
  const gate = yield* Deferred.make<void>()
  const { discard, finish } = yield* makeWriter(
    "default",
    Effect.fnUntraced(function* (writes) {
      const agencies = writes.map((write) => ("agency" in write ? write.agency : 0))
      groups.push(agencies)
      yield* Deferred.await(gate)
      if (agencies.includes(7)) return yield* FULL
      return agencies.map(
        (agency): Outcome =>
          agency === 3
            ? { kind: "unavailable", reason: "no threes" }
            : { kind: "bookMismatch", stored: 10 * agency }
      )
    })
  )
  return { groups, gate, discard, finish: (agency: number) => finish(agency, 0, whole()) }
})

const FULL = new StoreUnavailable({ reason: "the disk is full" })
const mismatchOf = (agency: number) => new BookMismatch({ agency, bets: 0, stored: 10 * agency })
const mismatch = (agency: number) => Exit.fail(mismatchOf(agency))

describe("the writer of an embedded store", () => {
  it.effect("commits writes that wait for a commit together, and answers each", () =>
    Effect.gen(function* () {
      const { groups, gate, finish } = yield* gatedFinishes
      const fibers = yield* Effect.forEach([1, 2, 3, 4], (agency) => start(finish(agency)))
      expect(groups).toEqual([[1]])
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.joinAll(fibers)).toEqual([
        mismatch(1),
        mismatch(2),
        Exit.fail(new StoreUnavailable({ reason: "no threes" })),
        mismatch(4)
      ])
      expect(groups).toEqual([[1], [2, 3, 4]])
    })
  )

  it.effect("commits a discard alone, before the writes that wait", () =>
    Effect.gen(function* () {
      const { groups, gate, discard, finish } = yield* gatedFinishes
      const before = [yield* start(finish(1)), yield* start(finish(2))]
      const discarding = yield* start(discard(4, "act"))
      const after = [yield* start(finish(5)), yield* start(finish(6))]
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll([...before, ...after])
      yield* Fiber.join(discarding)
      expect(groups).toEqual([[1], [4], [2, 5, 6]])
    })
  )

  it.effect("traces each commit within what its first write is for", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const { gate, discard, finish } = yield* gatedFinishes
      const started = (name: string, write: Effect.Effect<unknown, unknown>) =>
        write.pipe(Effect.withSpan(name), Effect.provideService(Tracer.Tracer, tracer), start)
      const fibers = [
        yield* started("first", finish(1)),
        yield* started("second", finish(2)),
        // Committed by the fiber of the second write.
        yield* started("discard", discard(4, "act")),
        yield* started("third", finish(5))
      ]
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      const commits = spans.filter(({ name }) => name === "Store.commit")
      const parentOf = ({ parent }: Tracer.Span) =>
        spans.find(({ spanId }) => Option.exists(parent, (one) => one.spanId === spanId))?.name
      expect(commits.map(parentOf)).toEqual(["first", "discard", "second"])
      expect(commits.map(({ attributes }) => attributes.get("lottery.writes"))).toEqual([1, 1, 2])
    })
  )

  it.effect("fails all writes of a group whose commit fails, and no others", () =>
    Effect.gen(function* () {
      const { groups, gate, finish } = yield* gatedFinishes
      // Only the errors: the cause of a failed commit says in which span it failed, too.
      const fibers = yield* Effect.forEach([1, 7, 2], (agency) =>
        start(Effect.flip(finish(agency)))
      )
      yield* Deferred.succeed(gate, undefined)
      const errors = [mismatchOf(1), FULL, FULL].map(Exit.succeed)
      expect(yield* Fiber.joinAll(fibers)).toEqual(errors)
      expect(yield* Effect.exit(finish(9))).toEqual(mismatch(9))
      expect(groups).toEqual([[1], [7, 2], [9]])
    })
  )

  it.effect("completes a submitted write although its caller is interrupted", () =>
    Effect.gen(function* () {
      const { groups, gate, finish } = yield* gatedFinishes
      const fibers = yield* Effect.forEach([1, 2], (agency) => start(finish(agency)))
      const interrupting = yield* start(Fiber.interruptAll(fibers))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(interrupting)
      expect(groups).toEqual([[1], [2]])
    })
  )

  it.effect("notes nothing during a commit", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { done, note, writer } = yield* gated(Deferred.await(gate))
      const fibers = [yield* start(writer.told(1)), yield* start(note)]
      expect(done).toEqual(["commit of 1"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      expect(done).toEqual(["commit of 1", "note"])
    })
  )

  it.effect("neither notes nor commits once a commit has broken the store", () =>
    Effect.gen(function* () {
      const broken = new StoreBroken({ reason: "no sync" })
      const { done, note, writer } = yield* gated(Effect.fail(broken))
      for (const write of [writer.told(1), note, writer.told(1)]) {
        expect(yield* Effect.flip(write)).toBe(broken)
      }
      expect(done).toEqual(["commit of 1"])
    })
  )

  it.effect("commits nothing once a note has broken the store", () =>
    Effect.gen(function* () {
      const broken = new StoreBroken({ reason: "no sync" })
      const { done, writer } = yield* gated(Effect.void)
      yield* Effect.flip(writer.betweenCommits(Effect.fail(broken)))
      expect(yield* Effect.flip(writer.told(1))).toBe(broken)
      expect(yield* Effect.flip(writer.broken)).toBe(broken)
      expect(done).toEqual([])
    })
  )

  it.effect("limits the bytes of a group", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { done, writer } = yield* gated(Deferred.await(gate))
      const half = new BetBatch(new Uint8Array(MAX_GROUP_BYTES / 2 - 100), 1)
      const large = new BetBatch(new Uint8Array(MAX_GROUP_BYTES + 1), 1)
      // Each row takes more bytes in a file than in a batch.
      const many = new BetBatch(new Uint8Array(MAX_GROUP_BYTES / 4), MAX_GROUP_BYTES / 16)
      const fibers = yield* Effect.forEach(
        [half, half, half, half, large, many, half],
        (batch, agency) => start(writer.append(agency + 1, 0, batch))
      )
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      expect(done).toEqual([
        "commit of 1",
        "commit of 2",
        "commit of 1",
        "commit of 1",
        "commit of 1",
        "commit of 1"
      ])
    })
  )
})

/** Up to two commits are on their way. Each ends with its own gate, in any order. */
const twoAtOnce = Effect.gen(function* () {
  const begun: Array<ReadonlyArray<number>> = []
  const gates: Array<Deferred.Deferred<void, CommitFailure>> = []
  const writer = yield* makeWriter(
    "default",
    Effect.fnUntraced(function* (writes) {
      const gate = Deferred.makeUnsafe<void, CommitFailure>()
      begun.push(writes.map((write) => ("agency" in write ? write.agency : 0)))
      gates.push(gate)
      yield* Deferred.await(gate)
      return writes.map((): Outcome => ({ kind: "done" }))
    }),
    { maxGroupBytes: 4 * MIN_AHEAD_BYTES, commitsAtOnce: 2 }
  )
  const append = (size: number) => (agency: number) =>
    start(writer.append(agency, 0, new BetBatch(new Uint8Array(size), 1)))
  /** Ends a commit, and waits until others have had the time to begin. */
  const end = (commit: number, how: Effect.Effect<void, CommitFailure> = Effect.void) =>
    Effect.andThen(
      Deferred.complete(gates[commit]!, how),
      Effect.repeat(Effect.yieldNow, { times: 20 })
    )
  const [small, large, full] = [10, 3 * MIN_AHEAD_BYTES, 4 * MIN_AHEAD_BYTES].map(append)
  return { begun, end, writer, small: small!, large: large!, full: full! }
})

describe("a store with two commits on their way", () => {
  it.effect("begins a second large group during a commit, and no third one", () =>
    Effect.gen(function* () {
      const { begun, end, large } = yield* twoAtOnce
      const fibers = yield* Effect.forEach([1, 2, 3, 4], large)
      expect(begun).toEqual([[1], [2]])
      yield* end(0)
      expect(begun).toEqual([[1], [2], [3]])
      expect(yield* Fiber.join(fibers[0]!)).toEqual(Exit.void)
      expect(fibers[1]!.pollUnsafe()).toBeUndefined()
      yield* end(1)
      yield* end(2)
      yield* end(3)
      expect(yield* Fiber.joinAll(fibers)).toEqual(fibers.map(() => Exit.void))
    })
  )

  it.effect("lets small writes wait for both commits, so that they share the next one", () =>
    Effect.gen(function* () {
      const { begun, end, large, small } = yield* twoAtOnce
      const fibers = yield* Effect.forEach([1, 2], large)
      fibers.push(yield* small(3))
      yield* end(0)
      fibers.push(yield* small(4))
      expect(begun).toEqual([[1], [2]])
      yield* end(1)
      expect(begun).toEqual([[1], [2], [3, 4]])
      // Large enough to follow a small one.
      fibers.push(yield* large(5))
      expect(begun).toEqual([[1], [2], [3, 4], [5]])
      yield* Effect.andThen(end(2), end(3))
      yield* Fiber.joinAll(fibers)
    })
  )

  it.effect("lets no large write overtake a small one that waits", () =>
    Effect.gen(function* () {
      const { begun, end, full, large, small } = yield* twoAtOnce
      const fibers = yield* Effect.forEach([1, 2], large)
      fibers.push(yield* small(3), yield* full(4))
      yield* end(0)
      expect(begun).toEqual([[1], [2]])
      yield* end(1)
      expect(begun).toEqual([[1], [2], [3], [4]])
      yield* Effect.andThen(end(2), end(3))
      yield* Fiber.joinAll(fibers)
    })
  )

  it.effect("commits acts alone, after the commits on their way and before all others", () =>
    Effect.gen(function* () {
      const { begun, end, large, writer } = yield* twoAtOnce
      const fibers = yield* Effect.forEach([1, 2, 3, 4], large)
      const acts = yield* Effect.forEach([7, 8], (agency) => start(writer.discard(agency, "act")))
      expect(begun).toEqual([[1], [2]])
      yield* end(0)
      expect(begun).toEqual([[1], [2], [7]])
      yield* end(1)
      yield* end(2)
      expect(begun.slice(0, 4)).toEqual([[1], [2], [7], [8]])
      for (const commit of [3, 4, 5]) yield* end(commit)
      yield* Fiber.joinAll([...fibers])
      yield* Fiber.joinAll(acts)
      expect(begun.toSorted()).toEqual([[1], [2], [3], [4], [7], [8]])
    })
  )

  it.effect("commits nothing more once one of two commits has broken the store", () =>
    Effect.gen(function* () {
      const { begun, end, large } = yield* twoAtOnce
      const broken = new StoreBroken({ reason: "no sync" })
      const fibers = yield* Effect.forEach([1, 2, 3], large)
      yield* end(0, Effect.fail(broken))
      yield* end(1, Effect.fail(broken))
      const failures = yield* Fiber.joinAll(fibers)
      for (const failure of failures)
        expect(Exit.findErrorOption(failure)).toEqual(Option.some(broken))
      expect(begun).toEqual([[1], [2]])
    })
  )

  it.effect("fails only the group whose commit is unavailable", () =>
    Effect.gen(function* () {
      const { end, large } = yield* twoAtOnce
      const fibers = yield* Effect.forEach([1, 2], large)
      yield* end(0, Effect.fail(FULL))
      yield* end(1)
      const [one, two] = yield* Fiber.joinAll(fibers)
      expect(Exit.findErrorOption(one!)).toEqual(Option.some(FULL))
      expect(two).toEqual(Exit.void)
    })
  )
})
