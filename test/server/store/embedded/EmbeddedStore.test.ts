/** What the embedded stores share, with commits that wait until the test lets them through. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import { StoreBroken } from "../../../../src/server/store/BetStore.ts"
import {
  type CommitFailure,
  makeWriter,
  type Write
} from "../../../../src/server/store/embedded/EmbeddedStore.ts"
import { MAX_GROUP_BYTES } from "../../../../src/server/store/embedded/GroupCommit.ts"

/** What is done, in order; each commit ends as `outcome` says. */
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

describe("the writer of an embedded store", () => {
  it.effect("notes nothing while a commit is on its way", () =>
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

  it.effect("notes nothing more once a commit has broken the store, and commits nothing", () =>
    Effect.gen(function* () {
      const broken = new StoreBroken({ reason: "no sync" })
      const { done, note, writer } = yield* gated(Effect.fail(broken))
      for (const write of [writer.told(1), note, writer.told(1)]) {
        expect(yield* Effect.flip(write)).toBe(broken)
      }
      expect(done).toEqual(["commit of 1"])
    })
  )

  it.effect("commits nothing more once a note has broken the store", () =>
    Effect.gen(function* () {
      const broken = new StoreBroken({ reason: "no sync" })
      const { done, writer } = yield* gated(Effect.void)
      yield* Effect.flip(writer.betweenCommits(Effect.fail(broken)))
      expect(yield* Effect.flip(writer.told(1))).toBe(broken)
      expect(yield* Effect.flip(writer.broken)).toBe(broken)
      expect(done).toEqual([])
    })
  )

  it.effect("commits no more rows together than a group may have bytes", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { done, writer } = yield* gated(Deferred.await(gate))
      const half = new BetBatch(new Uint8Array(MAX_GROUP_BYTES / 2 - 100), 1)
      // Each row takes more in a file than in a batch.
      const many = new BetBatch(new Uint8Array(MAX_GROUP_BYTES / 4), MAX_GROUP_BYTES / 16)
      const fibers = yield* Effect.forEach([half, half, half, half, many, half], (batch, agency) =>
        start(writer.append(agency + 1, 0, batch))
      )
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      expect(done).toEqual([
        "commit of 1",
        "commit of 2",
        "commit of 1",
        "commit of 1",
        "commit of 1"
      ])
    })
  )
})
