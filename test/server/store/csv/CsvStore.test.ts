import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { appendFileSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema, Stream } from "effect"
import { BetBatchSchema } from "../../../../src/domain/BetBatch.ts"
import { BetStore, BetStoreReader } from "../../../../src/server/store/BetStore.ts"
import { makeReader } from "../../../../src/server/store/csv/CsvReader.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import { Disk, DiskError } from "../../../../src/server/store/embedded/Disk.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import {
  bets,
  bookOf,
  bytesOf,
  conformance,
  drawOf,
  holdDraw,
  type Stores,
  winnersIn
} from "../BetStore.conformance.ts"
import { closingConformance } from "../Closing.conformance.ts"
import { sealingConformance } from "../Sealing.conformance.ts"

const reading = (path: string, drawId = "default") =>
  Layer.effect(BetStoreReader, makeReader({ path, drawId }))

const stores: Stores = {
  place: temporaryFolder,
  layer: (folder, drawId) =>
    Layer.effect(BetStore, CsvStore.make({ path: join(folder, "bets.csv"), drawId })),
  layerReader: (folder, drawId) => reading(join(folder, "bets.csv"), drawId),
  manyDraws: false,
  isEmbedded: true
}
conformance("CsvStore", stores)
closingConformance("CsvStore", stores)
sealingConformance("CsvStore", stores)

const inFolder = Effect.map(temporaryFolder, (folder) => join(folder, "bets.csv"))

const using = <A, E>(
  options: CsvStore.Options,
  run: (store: BetStore["Service"]) => Effect.Effect<A, E, BetStore>
) =>
  Effect.scoped(
    Effect.flatMap(CsvStore.make(options), (store) =>
      Effect.provideService(run(store), BetStore, store)
    )
  )

const at = (path: string, drawId = "default") => ({ path, drawId })

/** A store with bets of three agencies. The last rows are quoted. */
const filled = Effect.gen(function* () {
  const path = yield* inFolder
  yield* using(at(path), (store) =>
    Effect.gen(function* () {
      yield* store.append(1, 0, bets(1, 0, 10))
      yield* store.append(2, 0, bets(2, 0, 9))
      yield* store.append(1, 10, bets(1, 10, 5))
    })
  )
  return path
})

const changeState = (path: string, change: object) => {
  const state = JSON.parse(readFileSync(`${path}.state.json`, "utf8"))
  writeFileSync(`${path}.state.json`, JSON.stringify({ ...state, ...change }))
}

const PYTHON_WRITES = `
import csv, json, sys
writer = csv.writer(sys.stdout, quoting=csv.QUOTE_MINIMAL)
sys.stdout.reconfigure(encoding="utf-8", newline="")
for row in json.load(sys.stdin): writer.writerow(row)
`

const python = spawnSync("python3", ["-c", "print(1)"])
if (python.status !== 0)
  process.stderr.write("python3 is missing: the file is not compared with its csv\n")

describe("CsvStore", () => {
  it.live.prop(
    "writes the same file as Python's csv.writer",
    [Schema.Array(BetBatchSchema)],
    ([batches], { skip }) =>
      Effect.gen(function* () {
        if (python.status !== 0) return skip()
        const path = yield* inFolder
        const all = [bets(1, 0, 30), ...batches]
        yield* using(at(path), (store) =>
          Effect.forEach(all, (batch, index) => store.append(index + 1, 0, batch))
        )
        const rows = all.flatMap((batch, index) =>
          [...batch].map((bet) => [
            index + 1,
            bet.firstName,
            bet.lastName,
            bet.document,
            bet.birthdate,
            bet.number
          ])
        )
        const { stdout } = spawnSync("python3", ["-c", PYTHON_WRITES], {
          input: JSON.stringify(rows)
        })
        expect(readFileSync(path).equals(stdout)).toBe(true)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 5 } }
  )

  it.live("reads a file that Python wrote as the default draw with no finished books", () =>
    Effect.gen(function* () {
      const path = yield* filled
      rmSync(`${path}.state.json`)
      const error = yield* Effect.flip(using(at(path, "other"), () => Effect.void))
      expect(error).toMatchObject({ _tag: "StoreOpenError" })
      expect(String(error)).toMatch(/draw default, not other/)
      yield* using(at(path), (store) =>
        Effect.gen(function* () {
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 15)]))
          yield* store.finish(1, 15, whole(bets(1, 0, 15)))
        })
      )
    })
  )

  it.live("cuts a torn tail that begins at any byte of the last two rows", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const whole = readFileSync(path)
      const ends = [...whole.keys()].filter((byte) => whole[byte] === 0x0a).map((lf) => lf + 1)
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => lines.push(...[message].flat()))
      const synced = ends.at(-3)!
      for (let length = synced; length <= whole.length; length++) {
        writeFileSync(path, whole.subarray(0, length))
        changeState(path, { synced })
        const rows = ends.filter((end) => end <= length)
        yield* using(at(path), (store) =>
          Effect.gen(function* () {
            const { bets: held } = yield* store.progressOf(1)
            expect(held).toBe(rows.length - 9)
            expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, held)]))
          })
        ).pipe(Effect.provide(Logger.layer([logger])))
        expect(readFileSync(path).length).toBe(rows.at(-1))
        const cut = length - rows.at(-1)!
        expect(lines.splice(0).map(String)).toEqual(
          cut === 0
            ? []
            : [`action: store_recovered | result: success | store: ${path} | bytes_cut: ${cut}`]
        )
      }
    })
  )

  it.live("ignores and keeps an unfinished last row when reading", () =>
    Effect.gen(function* () {
      const path = yield* filled
      appendFileSync(path, "1,Ana,L")
      const size = readFileSync(path).length
      const text = yield* Effect.gen(function* () {
        const reader = yield* BetStoreReader
        return bytesOf(yield* Stream.runCollect(reader.book(1, 0)))
      }).pipe(Effect.provide(reading(path)))
      expect(text).toBe(bytesOf([bets(1, 0, 15)]))
      expect(readFileSync(path).length).toBe(size)
    })
  )

  it.live("refuses damage that no crash explains and names its offset, to readers too", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const whole = readFileSync(path)
      const row = whole.indexOf(0x0a) + 1
      whole[row] = 0x78
      writeFileSync(path, whole)
      const open = using({ ...at(path), tailLimitBytes: 100 }, () => Effect.void)
      expect(String(yield* Effect.flip(open))).toContain(`damaged at byte ${row}:`)
      const reader = Effect.provide(BetStoreReader, reading(path))
      expect(String(yield* Effect.flip(reader))).toContain(`damaged at byte ${row}:`)
      expect(readFileSync(path).equals(whole)).toBe(true)
    })
  )

  it.live("saves the tail it cuts if that is more than an unfinished row", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const whole = readFileSync(path)
      const tail = Buffer.from("not a row\r\nnor this")
      writeFileSync(path, Buffer.concat([whole, tail]))
      yield* Effect.provide(
        using(at(path), () => Effect.void),
        Logger.layer([])
      )
      expect(readFileSync(path).equals(whole)).toBe(true)
      expect(readFileSync(`${path}.cut-${whole.length}`).equals(tail)).toBe(true)
    })
  )

  it.live("neither opens nor changes a file that is not a store", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "book.csv")
      const book = "Ana,Perez,1,1999-03-17,1\r\n"
      writeFileSync(path, book)
      const error = yield* Effect.flip(using(at(path), () => Effect.void))
      expect(String(error)).toContain("damaged at byte 0, or not a store")
      expect(readFileSync(path, "utf8")).toBe(book)
      const reader = Effect.provide(BetStoreReader, reading(path))
      expect(String(yield* Effect.flip(reader))).toContain("damaged at byte 0")
    })
  )

  for (const [what, offset, byte, message] of [
    ["a bet was damaged", 2, 0x0a, "damaged at byte 0:"],
    ["a line ending was damaged", -1, 0x58, "damaged: it has "]
  ] as const) {
    it.live(`returns no winners rather than some of them if ${what} meanwhile`, () =>
      Effect.gen(function* () {
        const path = yield* filled
        const error = yield* using(at(path), (store) =>
          Effect.gen(function* () {
            const file = readFileSync(path)
            const first = file.indexOf(0x0a)
            file[offset === -1 ? first : offset] = byte
            writeFileSync(path, file)
            yield* store.openDraw(drawOf([1]))
            yield* store.finish(1, 15, whole(bets(1, 0, 15)))
            return yield* Effect.flip(holdDraw(store))
          })
        )
        expect(error.message).toContain(message)
      })
    )
  }

  it.live("refuses a file that lacks bets of a finished book", () =>
    Effect.gen(function* () {
      const path = yield* filled
      yield* using(at(path), (store) => store.finish(1, 15, whole(bets(1, 0, 15))))
      const bytes = readFileSync(path)
      for (const file of [bytes.subarray(0, -3), bytes.subarray(0, 200)]) {
        writeFileSync(path, file)
        const error = yield* Effect.flip(using(at(path), () => Effect.void))
        expect(String(error)).toContain(`damaged: ${bytes.length - file.length} bytes are missing`)
        changeState(path, { synced: 0 })
        const counted = yield* Effect.flip(using(at(path), () => Effect.void))
        expect(String(counted)).toMatch(/damaged at byte \d+: agency 1 finished with 15 bets/)
        changeState(path, { synced: bytes.length })
        expect(readFileSync(path).equals(file)).toBe(true)
      }
    })
  )

  it.live("refuses a damaged state file with a message of one line", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const state = JSON.parse(readFileSync(`${path}.state.json`, "utf8"))
      const changes = [
        { synced: -1 },
        { finished: [{ agency: 1, bets: -1, ...whole() }] },
        { finished: [{ agency: 1, bets: 15, sha256: "0" }] }
      ]
      const changed = changes.map((change) => JSON.stringify({ ...state, ...change }))
      for (const state of ["", "{", '{"version":2}', "null", ...changed]) {
        writeFileSync(`${path}.state.json`, state)
        const error = yield* Effect.flip(using(at(path), () => Effect.void))
        expect(String(error)).toContain(`its state file ${path}.state.json is damaged`)
        expect(error.message).not.toContain("\n")
      }
    })
  )

  it.live("reads the whole file from a disk with short reads", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const node = yield* Disk
      const read: Disk["read"] = (file, into, position) =>
        node.read(file, into.subarray(0, 100), position)
      yield* using(at(path), (store) =>
        Effect.gen(function* () {
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 15)]))
          expect(yield* store.discard(2, randomUUID())).toBe(9)
          yield* store.openDraw(drawOf([1]))
          yield* store.finish(1, 15, whole(bets(1, 0, 15)))
          yield* holdDraw(store)
          expect(yield* winnersIn(store)).toEqual([[1, bytesOf([bets(1, 3, 1), bets(1, 13, 1)])]])
        })
      ).pipe(Effect.provideService(Disk, { ...node, read }))
    })
  )

  it.live("survives failed and short writes, and works again once the disk does", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const node = yield* Disk
      let space = 700
      let canCut = true
      let isStuck = false
      const disk: Disk = {
        ...node,
        write: (file, bytes, position) =>
          Effect.suspend(() => {
            if (isStuck) {
              isStuck = false
              return Effect.succeed(0)
            }
            const part = bytes.subarray(0, Math.min(bytes.length, 100, space))
            space -= part.length
            return part.length === 0
              ? Effect.fail(new DiskError({ operation: "write", code: "ENOSPC", reason: "full" }))
              : node.write(file, part, position)
          }),
        truncate: (file, length) =>
          Effect.suspend(() =>
            canCut
              ? node.truncate(file, length)
              : Effect.fail(new DiskError({ operation: "cut", code: "EIO", reason: "cannot cut" }))
          )
      }
      yield* using(at(path), (store) =>
        Effect.gen(function* () {
          yield* store.append(1, 0, bets(1, 0, 5))
          const durable = readFileSync(path).length
          expect(yield* Effect.flip(store.append(1, 5, bets(1, 5, 20)))).toMatchObject({
            _tag: "StoreUnavailable"
          })
          expect(readFileSync(path).length).toBe(durable)

          canCut = false
          space = 50
          yield* Effect.flip(store.append(1, 5, bets(1, 5, 20)))
          space = 10_000
          expect(yield* Effect.flip(store.append(1, 5, bets(1, 5, 1)))).toMatchObject({
            _tag: "StoreUnavailable",
            reason: "cannot cut"
          })
          canCut = true
          yield* store.append(1, 5, bets(1, 5, 1))
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 6)]))

          space = 30
          expect(yield* Effect.flip(store.finish(1, 6, whole(bets(1, 0, 6))))).toMatchObject({
            _tag: "StoreUnavailable"
          })
          expect((yield* store.progressOf(1)).finished).toBe(false)
          // Room for the row, but not for the state that finishes the book.
          const last = bets(2, 0, 1)
          space = last.byteLength + "2,\r".length
          expect(yield* Effect.flip(store.append(2, 0, last, { last: whole(last) }))).toMatchObject(
            {
              _tag: "StoreUnavailable"
            }
          )
          expect(yield* store.progressOf(2)).toMatchObject({ bets: 1, finished: false })

          // If the state of a group cannot be stored, only its bets are acknowledged.
          space = 2 * (last.byteLength + "2,\r".length)
          const group = yield* Effect.all(
            [
              store.append(3, 0, last),
              Effect.result(store.append(4, 0, last)),
              Effect.result(store.finish(1, 6, whole(bets(1, 0, 6)))),
              Effect.result(store.append(1, 6, last))
            ],
            { concurrency: "unbounded" }
          )
          const refused = { failure: { _tag: "StoreUnavailable", reason: "full" } }
          expect(group.slice(1)).toMatchObject([{ _tag: "Success" }, refused, refused])
          space = 0
          const none = yield* Effect.forEach(
            [5, 6, 7],
            (agency) => Effect.flip(store.append(agency, 0, last)),
            { concurrency: "unbounded" }
          )
          expect(none).toMatchObject(Array(3).fill(refused.failure))

          space = 10_000
          isStuck = true
          expect(yield* Effect.flip(store.append(5, 0, last))).toMatchObject({
            _tag: "StoreUnavailable",
            reason: "nothing could be written"
          })
          yield* store.finish(1, 6, whole(bets(1, 0, 6)))
        })
      ).pipe(Effect.provideService(Disk, disk))
      yield* using(at(path), (store) =>
        Effect.gen(function* () {
          expect(yield* store.progressOf(1)).toEqual({
            bets: 6,
            finished: true,
            excluded: false,
            told: false,
            edition: 0
          })
        })
      )
    })
  )

  it.live("stays broken once a sync of the bets or of the state has failed", () =>
    Effect.gen(function* () {
      const node = yield* Disk
      for (const what of ["syncData", "sync"] as const) {
        const path = yield* inFolder
        let works = true
        const sync = (file: number) =>
          Effect.suspend(() =>
            works
              ? node[what](file)
              : Effect.fail(new DiskError({ operation: "sync", code: "EIO", reason: "no sync" }))
          )
        yield* using(at(path), (store) =>
          Effect.gen(function* () {
            const write = what === "sync" ? store.told(1) : store.append(1, 0, bets(1, 0, 1))
            works = false
            expect(yield* Effect.flip(write)).toMatchObject({ _tag: "StoreBroken" })
            // The disk's state is unknown, so written bytes are not cut.
            expect(statSync(path).size > 0).toBe(what === "syncData")
            works = true
            expect(yield* Effect.flip(write)).toMatchObject({ _tag: "StoreBroken" })
            expect(yield* Effect.flip(store.finish(2, 0, whole()))).toMatchObject({
              _tag: "StoreBroken"
            })
            expect(yield* Effect.flip(store.broken)).toMatchObject({ reason: "no sync" })
          })
        ).pipe(Effect.provideService(Disk, { ...node, [what]: sync }))
      }
    })
  )
})
