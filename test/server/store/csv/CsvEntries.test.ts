/**
 * Goal: the entries of a CSV store are the ones that its state records, or none are shown, and a
 * disk that fails while they are written leaves the draw open or sealed, never half.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Draw } from "../../../../src/domain/Draw.ts"
import { entriesOf } from "../../../../src/domain/seal/Seal.ts"
import type { BetStore } from "../../../../src/server/store/BetStore.ts"
import { makeReader } from "../../../../src/server/store/csv/CsvReader.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import { Disk } from "../../../../src/server/store/embedded/Disk.ts"
import * as FailingDisk from "../../../support/stores/FailingDisk.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets } from "../BetStore.conformance.ts"
import { sealOf } from "../Sealing.conformance.ts"

const draw = new Draw({ id: "default", agencies: [1], source: { _tag: "announced" } })
/** More than the operations of a seal. */
const TOO_MANY = 100

const at = (path: string) => ({ path, drawId: draw.id })

/** A store whose only book is finished. */
const finished = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "bets.csv")
  const filling = Effect.gen(function* () {
    const store = yield* CsvStore.make(at(path))
    yield* store.openDraw(draw)
    yield* store.append(1, 0, bets(1, 0, 15), { last: whole(bets(1, 0, 15)) })
  })
  yield* Effect.scoped(filling)
  return path
})

const record = (store: BetStore["Service"]) =>
  Effect.flatMap(sealOf(store, draw), store.recordEntries)

const sealed = Effect.gen(function* () {
  const path = yield* finished
  yield* Effect.scoped(Effect.flatMap(CsvStore.make(at(path)), record))
  return path
})

describe("the entries file", () => {
  it.live.each<[string, (file: string) => void]>([
    ["is missing", (file) => rmSync(file)],
    ["is not the one of its draw", (file) => writeFileSync(file, `${readFileSync(file)}\n`)]
  ])("is reported if it %s", ([problem, damage]) =>
    Effect.gen(function* () {
      const path = yield* sealed
      const file = `${path}.entries`
      damage(file)
      const reason = `damaged: its entries file ${file} ${problem}`
      const refused = yield* Effect.flip(CsvStore.make(at(path)))
      expect(refused).toMatchObject({ _tag: "StoreOpenError" })
      expect(refused.message).toContain(reason)
      const reader = yield* makeReader(at(path))
      expect((yield* Effect.flip(reader.evidence)).message).toContain(reason)
      expect((yield* reader.progress).get(1)).toMatchObject({ finished: true })
    }).pipe(Effect.scoped)
  )

  it.live("of a seal that was not recorded is replaced", () =>
    Effect.gen(function* () {
      const path = yield* finished
      writeFileSync(`${path}.entries`, "left by a crash")
      const store = yield* CsvStore.make(at(path))
      expect((yield* store.evidence).entries).toBeUndefined()
      const seal = yield* sealOf(store, draw)
      yield* store.recordEntries(seal)
      expect((yield* store.evidence).entries).toBe(entriesOf(seal).join(""))
    }).pipe(Effect.scoped)
  )
})

it.live.each([false, true])(
  "a seal with one failed operation is refused, and is whole later (all fail after it: %s)",
  (forEver) =>
    Effect.gen(function* () {
      const node = yield* Disk
      const kinds = new Set<string>()
      let operation = 1
      for (; operation < TOO_MANY; operation++) {
        const path = yield* finished
        const { disk, failAt, failed, heal } = FailingDisk.make(node, forEver)
        yield* Effect.gen(function* () {
          const store = yield* CsvStore.make(at(path))
          failAt(operation)
          const outcome = yield* Effect.result(record(store))
          heal()
          if (failed() === undefined || outcome._tag === "Success") return
          kinds.add(outcome.failure._tag)
          if (outcome.failure._tag === "StoreBroken") return
          expect(outcome.failure._tag).toBe("StoreUnavailable")
          expect((yield* store.evidence).entries).toBeUndefined()
          expect(yield* record(store)).toBe(true)
        }).pipe(Effect.provideService(Disk, disk), Effect.scoped)
        // The store opens, and what it says of the seal is whole.
        const again = yield* CsvStore.make(at(path))
        const seal = yield* sealOf(again, draw)
        yield* again.recordEntries(seal)
        expect((yield* again.evidence).entries).toBe(entriesOf(seal).join(""))
        expect(existsSync(`${path}.entries`)).toBe(true)
        if (failed() === undefined) break
      }
      expect(kinds).toEqual(new Set(["StoreUnavailable", "StoreBroken"]))
      expect(operation).toBeGreaterThan(10)
      expect(operation).toBeLessThan(TOO_MANY)
    })
)
