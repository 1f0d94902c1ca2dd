/** A page of a book is right wherever its rows are in the file, at a cost that fits its size. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import { type AgencyMarks, CsvIndex } from "../../../../src/server/store/csv/CsvIndex.ts"
import { MARK_BYTES, type Mark } from "../../../../src/server/store/csv/CsvRow.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import { Disk } from "../../../../src/server/store/embedded/Disk.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { bets, bytesOf } from "../BetStore.conformance.ts"

describe("the index of bets.csv", () => {
  it("finds the marks for any position, whatever lies between them", () => {
    // Runs of adjacent rows of 40 bytes, each after a gap.
    const spans = fc.array(
      fc.record({
        agency: fc.constantFrom(1, 2, 300),
        rows: fc.integer({ min: 1, max: 900 }),
        gap: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 ** 33 }))
      }),
      { minLength: 1, maxLength: 200 }
    )
    fc.assert(
      fc.property(spans, (added) => {
        const index = new CsvIndex()
        const places = new Map<number, Array<number>>()
        let offset = 0
        for (const { agency, gap, rows } of added) {
          offset += gap
          const within: Array<Mark> = []
          let due = MARK_BYTES
          const own = places.get(agency) ?? []
          for (let row = 0; row < rows; row++) {
            if (row * 40 >= due) {
              within.push({ position: row, offset: row * 40 })
              due = row * 40 + MARK_BYTES
            }
            own.push(offset + row * 40)
          }
          places.set(agency, own)
          index.add(agency, offset, rows, rows * 40, within)
          offset += rows * 40
        }
        for (const [agency, own] of places) expectMarks(index.get(agency)!, own)
      }),
      { numRuns: 50 }
    )
  })
})

/** Each row is less than twice `MARK_BYTES` after its mark. */
const expectMarks = (marks: AgencyMarks, rows: ReadonlyArray<number>) => {
  expect(marks.bets).toBe(rows.length)
  for (let position = 0; position < rows.length; position += 1 + Math.floor(rows.length / 50)) {
    const index = marks.before(position)
    const [first, second] = [marks.at(index), marks.at(index + 1)]
    expect(first!.position).toBeLessThanOrEqual(position)
    expect(rows[first!.position]).toBe(first!.offset)
    expect(rows[position]! - first!.offset).toBeLessThan(2 * MARK_BYTES)
    if (second === undefined) continue
    expect(second.position).toBeGreaterThan(position)
    expect(rows[second.position]).toBe(second.offset)
  }
}

/** A store whose disk counts the bytes read. */
const withCounting = <A, E>(
  run: (
    store: Effect.Success<ReturnType<typeof CsvStore.make>>,
    bytesRead: () => number
  ) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const disk = yield* Disk
    let bytes = 0
    const read: Disk["read"] = (file, into, position) => {
      bytes += into.length
      return disk.read(file, into, position)
    }
    const path = join(yield* temporaryFolder, "bets.csv")
    const store = yield* CsvStore.make({ path, drawId: "default" }).pipe(
      Effect.provideService(Disk, { ...disk, read })
    )
    return yield* run(store, () => bytes)
  }).pipe(Effect.scoped)

describe("a page of a book in bets.csv", () => {
  it.live(
    "reads little more than it returns, whether the agency's bets are scattered or adjacent",
    () =>
      withCounting((store, bytesRead) =>
        Effect.gen(function* () {
          const times = 40
          for (let time = 0; time < times; time++) {
            yield* store.append(1, time, bets(1, time, 1))
            yield* store.append(2, time * 2000, bets(2, time * 2000, 2000))
          }
          const before = bytesRead()
          const page = yield* store.page(1, { from: 5, until: 15, edition: 0 })
          expect(bytesOf([page])).toBe(bytesOf([bets(1, 5, 10)]))
          expect(bytesRead() - before).toBeLessThan(10 * 2 * MARK_BYTES)
          const middle = bytesRead()
          yield* store.page(2, { from: 51_950, until: 51_951, edition: 0 })
          expect(bytesRead() - middle).toBeLessThan(2 * 2 * MARK_BYTES)
          const then = bytesRead()
          const { byteLength } = yield* store.page(2, { from: 0, until: 80_000, edition: 0 })
          expect(bytesRead() - then).toBeLessThan(1.5 * byteLength)
        })
      )
  )

  it.live("has the agency's rows, however the batches of many agencies are mixed", () =>
    withCounting((store) =>
      Effect.gen(function* () {
        const sizes = [1, 700, 3, 90, 2, 2, 1500, 40]
        const held = [0, 0, 0]
        for (let turn = 0; turn < 24; turn++) {
          const agency = (turn % 3) + 1
          const count = sizes[turn % sizes.length]!
          const from = held[agency - 1]!
          yield* store.append(agency, from, bets(agency, from, count))
          held[agency - 1] = from + count
        }
        for (const agency of [1, 2, 3]) {
          const total = held[agency - 1]!
          for (let from = 0; from < total; from += 97) {
            const until = Math.min(total, from + 130)
            const page = yield* store.page(agency, { from, until, edition: 0 })
            expect(bytesOf([page])).toBe(bytesOf([bets(agency, from, until - from)]))
          }
          expect(yield* store.page(agency, { from: total, until: total + 5, edition: 0 })).toEqual(
            BetBatch.empty
          )
        }
      })
    )
  )

  it.live("fails at a bet that another program changed", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "bets.csv")
      const store = yield* CsvStore.make({ path, drawId: "default" })
      for (let time = 0; time < 5; time++) {
        yield* store.append(1, time, bets(1, time, 1))
        yield* store.append(2, time * 2000, bets(2, time * 2000, 2000))
      }
      const file = readFileSync(path, "latin1")
      writeFileSync(path, file.replace(",000100002,", ",00010000x,"), "latin1")
      const page = store.page(1, { from: 0, until: 5, edition: 0 })
      expect((yield* Effect.flip(page)).message).toContain(
        "bet 2 of agency 1 is missing before byte"
      )
    }).pipe(Effect.scoped)
  )
})
