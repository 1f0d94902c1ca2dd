/**
 * Goal: the marks of a finished book in a CSV store are stored with it, or the book is not
 * finished; marks that are not the stored ones open no store for writing, and a changed book is
 * refused with the piece that differs. Method: real files, changed between two openings.
 */
import { randomUUID } from "node:crypto"
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { MARK_BYTES } from "../../../../src/domain/seal/MarkedDigest.ts"
import type { BetStore } from "../../../../src/server/store/BetStore.ts"
import { makeReader } from "../../../../src/server/store/csv/CsvReader.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import { Disk } from "../../../../src/server/store/embedded/Disk.ts"
import * as FailingDisk from "../../../support/stores/FailingDisk.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, drawOf } from "../BetStore.conformance.ts"

type Store = BetStore["Service"]

const at = (path: string) => ({ path, drawId: "default" })
const inFolder = Effect.map(temporaryFolder, (folder) => join(folder, "bets.csv"))

/** Two marks, none, and one. */
const BOOKS = new Map([
  [1, bets(1, 0, 4000)],
  [2, bets(2, 0, 20)],
  [3, bets(3, 0, 2000)]
])
const digestOf = (agency: number) => whole(BOOKS.get(agency)!)
const MARKS = [1, 3].map((agency) => digestOf(agency).marks)
/** More than the operations of a finish. */
const TOO_MANY = 60

const using = <A, E>(path: string, use: (store: Store) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(CsvStore.make(at(path)), use))

const finish = (store: Store, agency: number) =>
  store.append(agency, 0, BOOKS.get(agency)!, { last: digestOf(agency) })

const fill = (path: string, agencies: Iterable<number> = BOOKS.keys()) =>
  using(path, (store) =>
    Effect.andThen(
      store.openDraw(drawOf([1, 2, 3])),
      Effect.forEach(agencies, (agency) => finish(store, agency))
    )
  )

const filled = Effect.tap(inFolder, (path) => fill(path))

const stateIn = (path: string) => JSON.parse(readFileSync(`${path}.state.json`, "utf8"))
const offsetsIn = (path: string) =>
  stateIn(path).finished.map((book: { agency: number; marksAt: number }) => [
    book.agency,
    book.marksAt
  ])
const marksIn = (path: string) => readFileSync(`${path}.marks`)

const readDigests = (path: string) =>
  Effect.scoped(Effect.flatMap(makeReader(at(path)), ({ digests }) => digests))

const stored = new Map(
  Array.from(BOOKS, ([agency, { count }]) => [agency, { bets: count, ...digestOf(agency) }])
)

describe("the marks file", () => {
  it.live("has the marks of each book in turn, where the state says", () =>
    Effect.gen(function* () {
      const path = yield* filled
      expect(marksIn(path)).toEqual(Buffer.concat(MARKS))
      expect(offsetsIn(path)).toMatchObject([
        [1, 0],
        [2, expect.any(Number)],
        [3, 64]
      ])
      const { bytes, sha256 } = digestOf(1)
      expect(stateIn(path).finished[0]).toMatchObject({ bets: 4000, bytes, sha256 })
      expect(statSync(`${path}.marks`).mode).toBe(statSync(path).mode)
      expect(yield* readDigests(path)).toEqual(stored)
      expect(yield* using(path, ({ digests }) => digests)).toEqual(stored)
    })
  )

  it.live("does not exist without a book of a whole piece", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      yield* fill(path, [2])
      expect(existsSync(`${path}.marks`)).toBe(false)
      expect((yield* readDigests(path)).get(2)).toEqual(stored.get(2))
    })
  )

  it.live("keeps the marks of a discarded book, and begins anew after the last one", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const discard = (agency: number) => (store: Store) => store.discard(agency, randomUUID())
      yield* using(path, discard(1))
      expect(yield* readDigests(path)).toEqual(new Map([...stored].slice(1)))
      yield* using(path, (store) => finish(store, 1))
      expect(marksIn(path)).toEqual(Buffer.concat([...MARKS, MARKS[0]!]))
      expect(yield* readDigests(path)).toEqual(stored)
      for (const agency of [1, 3]) yield* using(path, discard(agency))
      yield* using(path, (store) => finish(store, 3))
      expect(marksIn(path)).toEqual(Buffer.from(MARKS[1]!))
      expect((yield* readDigests(path)).get(3)).toEqual(stored.get(3))
    })
  )

  it.live("gets the marks of books that an earlier version finished", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const { entries: _, result: __, seal: ___, ...state } = stateIn(path)
      const { beacon, sealKey, sealed, sealedAt, ...opened } = state.opened
      const finished = state.finished.map(
        ({ agency, bets, sha256 }: { agency: number; bets: number; sha256: string }) => ({
          ...{ agency, bets, sha256 }
        })
      )
      rmSync(`${path}.marks`)
      const third = JSON.stringify({ ...state, version: 3, opened, finished })
      writeFileSync(`${path}.state.json`, third)
      expect(yield* readDigests(path)).toEqual(stored)
      expect(existsSync(`${path}.marks`)).toBe(false)
      yield* using(path, () => Effect.void)
      expect(marksIn(path)).toEqual(Buffer.concat(MARKS))
      expect(stateIn(path)).toMatchObject({ version: 4 })
      expect(yield* readDigests(path)).toEqual(stored)
    })
  )
})

const change = (bytes: Uint8Array, offset: number) => {
  const changed = Buffer.from(bytes)
  changed[offset]! ^= 1
  return changed
}

describe("a damaged marks file", () => {
  it.live.each<[string, (file: string) => void, ReadonlyArray<number>]>([
    ["is missing", (file) => rmSync(file), [0, 0]],
    ["is not the one of its books", (file) => writeFileSync(file, ""), [0, 0]],
    [
      "is not the one of its books",
      (file) => writeFileSync(file, readFileSync(file).subarray(0, -1)),
      [64, 0]
    ],
    [
      "is not the one of its books",
      (file) => writeFileSync(file, change(readFileSync(file), 63)),
      [64, 32]
    ]
  ])("%s: no server opens its store, and readers show it", ([problem, damage, lengths]) =>
    Effect.gen(function* () {
      const path = yield* filled
      const file = `${path}.marks`
      damage(file)
      const refused = yield* Effect.flip(using(path, () => Effect.void))
      expect(refused).toMatchObject({ _tag: "StoreOpenError" })
      expect(refused.message).toContain(`damaged: its marks file ${file} ${problem} (restore it, `)
      expect(refused.message).not.toContain("\n")
      const digests = yield* readDigests(path)
      expect(digests).not.toEqual(stored)
      expect([1, 3].map((agency) => digests.get(agency)!.marks.length)).toEqual(lengths)
    })
  )
})

describe("a changed book", () => {
  /** Changes the last digit of the document of a bet of agency 1. */
  const tamper = (path: string, position: number) => {
    const bytes = readFileSync(path)
    const document = `,${String(100_000 + position).padStart(9, "0")},`
    writeFileSync(path, change(bytes, bytes.indexOf(document) + document.length - 2))
  }
  const expectRefused = Effect.fnUntraced(function* (path: string, reason: string) {
    for (const opening of [using(path, () => Effect.void), readDigests(path)]) {
      const { message } = yield* Effect.flip(opening)
      expect(message).toContain(reason)
      expect(message).not.toContain("\n")
    }
  })
  const OTHERS = "the 4000 bets of agency 1 are not the ones it finished with"
  const { bytes } = digestOf(1)

  it.live.each([
    [[0, 2000], `0 to ${MARK_BYTES}`],
    [[2000, 3999], `${MARK_BYTES} to ${2 * MARK_BYTES}`],
    [[3999], `${2 * MARK_BYTES} to ${bytes}`]
  ] as const)("is refused with the first piece that differs (bets %j: bytes %s)", ([of, piece]) =>
    Effect.gen(function* () {
      const path = yield* filled
      for (const bet of of) tamper(path, bet)
      yield* expectRefused(path, `${OTHERS}; its book differs first in bytes ${piece} (restore it`)
    })
  )

  it.live("is refused if it has another bet, and if its marks are missing", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const rows = readFileSync(path)
      const second = rows.indexOf("\n") + 1
      writeFileSync(path, Buffer.concat([rows.subarray(0, second), rows]))
      yield* expectRefused(
        path,
        "but the file has 4001; its book differs first in bytes 0 to 65536 (restore it"
      )
      writeFileSync(path, rows)
      tamper(path, 2000)
      rmSync(`${path}.marks`)
      yield* expectRefused(path, `${OTHERS} (restore it`)
    })
  )
})

it.live.each([
  [false, [1]],
  [true, [1]],
  [false, [3, 1]],
  [true, [3, 1]]
] as const)(
  "a finish with one failed operation is refused, and is whole later (all fail after it: %s, %j)",
  ([forEver, agencies]) =>
    Effect.gen(function* () {
      const node = yield* Disk
      const kinds = new Set<string>()
      const { bytes: _, ...book } = stored.get(1)!
      let operation = 1
      for (; operation < TOO_MANY; operation++) {
        const path = yield* inFolder
        yield* fill(path, agencies.slice(0, -1))
        yield* using(path, (store) => store.append(1, 0, BOOKS.get(1)!))
        const { disk, failAt, failed, heal } = FailingDisk.make(node, forEver)
        const run = using(path, (store) =>
          Effect.gen(function* () {
            failAt(operation)
            const outcome = yield* Effect.result(store.finish(1, 4000, digestOf(1)))
            heal()
            if (failed() === undefined || outcome._tag === "Success") return
            kinds.add(outcome.failure._tag)
            if (outcome.failure._tag === "StoreBroken") return
            expect((yield* store.progressOf(1)).finished).toBe(false)
            yield* store.finish(1, 4000, digestOf(1))
          })
        )
        yield* Effect.provideService(run, Disk, disk)
        yield* using(path, (store) => store.finish(1, 4000, digestOf(1)))
        expect((yield* readDigests(path)).get(1)).toMatchObject(book)
        if (failed() === undefined) break
      }
      expect(kinds).toEqual(new Set(["StoreUnavailable", "StoreBroken"]))
      expect(operation).toBeGreaterThan(8)
      expect(operation).toBeLessThan(TOO_MANY)
    })
)
