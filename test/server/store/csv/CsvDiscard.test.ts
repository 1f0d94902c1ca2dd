/**
 * Goal: a discard in a CSV store never loses a bet of another agency, wherever it is interrupted.
 * Method: each disk operation in turn fails, once or forever, or is the last before a power cut.
 * Then the store is opened again from the disk.
 */
import { randomUUID } from "node:crypto"
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Option, Scope } from "effect"
import { temporaryName } from "../../../../src/domain/TemporaryName.ts"
import { BetStore } from "../../../../src/server/store/BetStore.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import { Disk, DiskError, readFile } from "../../../../src/server/store/embedded/Disk.ts"
import * as CrashDisk from "../../../support/stores/CrashDisk.ts"
import * as FailingDisk from "../../../support/stores/FailingDisk.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bookOf, bytesOf, drawOf, storedDraw } from "../BetStore.conformance.ts"

const using = <A, E>(
  path: string,
  run: (store: BetStore["Service"]) => Effect.Effect<A, E, BetStore>,
  disk?: Disk
) =>
  Effect.scoped(
    Effect.flatMap(CsvStore.make({ path, drawId: "default" }), (store) =>
      Effect.provideService(run(store), BetStore, store)
    )
  ).pipe(disk === undefined ? (self) => self : Effect.provideService(Disk, disk))

/** Stores mixed bets of three agencies; all except the last have finished. */
const fill = (store: BetStore["Service"]) =>
  Effect.gen(function* () {
    yield* store.openDraw(drawOf([1, 2, 3]))
    for (let from = 0; from < 30; from += 10) {
      for (const agency of [1, 2, 3]) {
        const last = agency < 3 && from === 20 ? whole(bets(agency, 0, 30)) : undefined
        yield* store.append(agency, from, bets(agency, from, 10), { last })
      }
    }
  })

const filled = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "bets.csv")
  yield* using(path, fill)
  return path
})

/** Checks that the other books are complete, and that of agency 1 all bets are stored or none. */
const checkBooks = (store: BetStore["Service"]) =>
  Effect.gen(function* () {
    expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 30)]))
    expect((yield* bookOf(3)).text).toBe(bytesOf([bets(3, 0, 30)]))
    expect((yield* store.progressOf(2)).finished).toBe(true)
    expect(yield* store.draw).toEqual(Option.some(storedDraw(drawOf([1, 2, 3]))))
    const held = yield* store.progressOf(1)
    expect([0, 30]).toContain(held.bets)
    expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, held.bets)]))
    return held.finished ? "finished" : held.bets === 30 ? "unfinished" : "gone"
  })

const at = { path: "bets.csv", drawId: "default" }

const isDiscarding = (path: string): boolean =>
  JSON.parse(readFileSync(`${path}.state.json`, "utf8")).discarding

const TOO_MANY = 100

it.live("a discard keeps the permissions of the file", () =>
  Effect.gen(function* () {
    const path = yield* filled
    chmodSync(path, 0o600)
    yield* using(path, (store) => store.discard(1, randomUUID()))
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })
)

it.live("opening a store removes the temporary files of a crash", () =>
  Effect.gen(function* () {
    const path = yield* filled
    const folder = dirname(path)
    const before = readdirSync(folder)
    for (const rest of ["", ".state.json", ".cut-80", ".entries", ".marks"]) {
      writeFileSync(yield* temporaryName(`${path}${rest}`), readFileSync(path))
    }
    const random = basename(yield* temporaryName(""))
    // Copies by an operator, and files of other stores.
    const mine = ["bets.csv.tmp", "bets.csv.20261128.tmp", "bets.csv.1.tmp", "bets.csv.tmp.1"]
    const others = [...mine, `other.csv${random}`, `bets.csv.2${random}`, `bets.csv2${random}`]
    for (const name of others) writeFileSync(join(folder, name), "mine")
    yield* using(path, checkBooks)
    expect(readdirSync(folder).sort()).toEqual([...before, ...others].sort())
  })
)

describe("a discard in a CSV store", () => {
  it.live("that stops at any operation leaves the old book or none", () =>
    Effect.gen(function* () {
      const node = yield* Disk
      const seen: Array<string> = []
      for (let operation = 1; operation < TOO_MANY; operation++) {
        const path = yield* filled
        const { disk, failAt, hasFailed } = FailingDisk.make(node, true)
        const exit = yield* using(
          path,
          (store) => {
            failAt(operation)
            return Effect.exit(store.discard(1, randomUUID()))
          },
          disk
        )
        seen.push(yield* using(path, checkBooks))
        // The only failure of a discard that succeeds is that of the final note.
        if (Exit.isSuccess(exit)) expect(seen.at(-1)).toBe("gone")
        else expect(hasFailed()).toBe(true)
        if (!hasFailed()) break
        // Leftovers do not prevent the next discard.
        yield* using(path, (store) => store.discard(1, randomUUID()))
        expect(yield* using(path, checkBooks)).toBe("gone")
      }
      expect(seen.length).toBeGreaterThan(10)
      expect(seen.length).toBeLessThan(TOO_MANY)
      expect([...new Set(seen)]).toEqual(["finished", "unfinished", "gone"])
      const order = ["finished", "unfinished", "gone"]
      expect(seen).toEqual(seen.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)))
    })
  )

  it.live(
    "with one failed operation is refused, and the store keeps working unless that was a sync",
    () =>
      Effect.gen(function* () {
        const node = yield* Disk
        let operation = 1
        for (; operation < TOO_MANY; operation++) {
          const path = yield* filled
          const { disk, failAt, failed } = FailingDisk.make(node, false)
          let isBroken = false
          yield* using(
            path,
            (store) =>
              Effect.gen(function* () {
                failAt(operation)
                const exit = yield* Effect.result(store.discard(1, randomUUID()))
                if (failed() === undefined) return
                if (exit._tag === "Success") {
                  expect(yield* checkBooks(store)).toBe("gone")
                  return
                }
                if (exit.failure._tag === "StoreBroken") {
                  isBroken = true
                  expect([0, 30]).toContain((yield* store.progressOf(1)).bets)
                  expect(yield* Effect.flip(store.discard(1, randomUUID()))).toMatchObject({
                    _tag: "StoreBroken"
                  })
                  return
                }
                expect(failed()).not.toBe("sync")
                // Otherwise readers would wait for the discard to end.
                expect(isDiscarding(path)).toBe(false)
                const isKept = (yield* checkBooks(store)) === "unfinished"
                expect(exit.failure.message.includes("but its book is not finished")).toBe(isKept)
                expect(["finished", "unfinished"]).toContain(yield* checkBooks(store))
                yield* store.append(3, 30, bets(3, 30, 1))
                expect(yield* store.discard(1, randomUUID())).toBe(30)
                yield* store.append(1, 0, bets(1, 90, 2))
                expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 90, 2)]))
                expect((yield* bookOf(3)).text).toBe(bytesOf([bets(3, 0, 31)]))
              }),
            disk
          )
          if (failed() === undefined) break
          if (!isBroken) expect(isDiscarding(path)).toBe(false)
          yield* using(path, (store) =>
            Effect.gen(function* () {
              expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 30)]))
              expect([30, 31]).toContain((yield* store.progressOf(3)).bets)
            })
          )
        }
        expect(operation).toBeGreaterThan(10)
        expect(operation).toBeLessThan(TOO_MANY)
      })
  )

  it.live("is refused if another program moved a bet of the book to another agency", () =>
    Effect.gen(function* () {
      const path = yield* filled
      yield* using(path, (store) =>
        Effect.gen(function* () {
          const rows = readFileSync(path, "utf8")
          writeFileSync(path, rows.replace(/^1,/, "3,"))
          const refused = yield* Effect.flip(store.discard(1, randomUUID()))
          expect(refused.message).toContain(
            "the bets of agency 1 were changed after the file was opened"
          )
          expect(readFileSync(path, "utf8").length).toBe(rows.length)
        })
      )
    })
  )

  it.live("on a full disk is refused, frees its space, and succeeds once there is room", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const node = yield* Disk
      let temporary: number | undefined
      const disk: Disk = {
        ...node,
        open: (name, flags) =>
          Effect.tap(node.open(name, flags), (file) =>
            Effect.sync(() => {
              if (/\.csv\.\d+\.tmp$/.test(name)) temporary = file
              else if (file === temporary) temporary = undefined
            })
          ),
        write: (file, bytes, position) =>
          file !== temporary
            ? node.write(file, bytes, position)
            : position < 100
              ? node.write(file, bytes.subarray(0, 100 - position), position)
              : Effect.fail(new DiskError({ operation: "write", code: "ENOSPC", reason: "full" }))
      }
      yield* using(
        path,
        (store) =>
          Effect.gen(function* () {
            const [, , discarded] = yield* Effect.all(
              [
                store.append(3, 30, bets(3, 30, 1)),
                store.append(3, 31, bets(3, 31, 1)),
                Effect.flip(store.discard(1, randomUUID())),
                store.append(3, 32, bets(3, 32, 1), { last: whole(bets(3, 0, 33)) })
              ],
              { concurrency: "unbounded" }
            )
            expect(discarded).toMatchObject({
              _tag: "StoreUnavailable",
              reason: expect.stringMatching(/^full; the bets of agency/)
            })
            const { length } = readdirSync(dirname(path)).filter((name) => name.endsWith(".tmp"))
            expect(length).toBe(0)
            expect(yield* store.progressOf(1)).toEqual({
              bets: 30,
              finished: false,
              excluded: false,
              told: false,
              edition: 0
            })
            expect(yield* store.progressOf(3)).toMatchObject({ bets: 33, finished: true })
          }),
        disk
      )
      expect(yield* using(path, (store) => store.discard(1, randomUUID()))).toBe(30)
    })
  )

  it.live("in a large file is done in pieces, and keeps the order of all other rows", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "bets.csv")
      yield* using(path, (store) =>
        Effect.gen(function* () {
          for (let from = 0; from < 45_000; from += 1500) {
            for (const agency of [1, 2]) {
              yield* store.append(agency, from, bets(agency, from, 1500))
            }
          }
        })
      )
      const rows = readFileSync(path, "utf8").split("\r\n")
      expect(statSync(path).size).toBeGreaterThan(3 * 2 ** 20)
      yield* using(path, (store) =>
        Effect.gen(function* () {
          expect(yield* store.discard(2, randomUUID())).toBe(45_000)
          expect((yield* bookOf(1, 44_999)).text).toBe(bytesOf([bets(1, 44_999, 1)]))
        })
      )
      const others = rows.filter((row) => !row.startsWith("2,")).join("\r\n")
      expect(readFileSync(path, "utf8") === others).toBe(true)
    })
  )

  it.live("is refused if a bet of another agency was damaged meanwhile", () =>
    Effect.gen(function* () {
      const path = yield* filled
      const error = yield* using(path, (store) =>
        Effect.gen(function* () {
          const whole = readFileSync(path)
          whole[whole.length - 3] = 0x78
          writeFileSync(path, whole)
          return yield* Effect.flip(store.discard(1, randomUUID()))
        })
      )
      expect(error.message).toMatch(/damaged at byte \d+:/)
    })
  )
})

/** A filled store on a disk that has room for only so many further states. */
const withRoomForStates = Effect.gen(function* () {
  const machine = CrashDisk.make("/there")
  const disk = machine.attach()
  const room = { states: Number.POSITIVE_INFINITY }
  const open: Disk["open"] = (path, flags) =>
    /\.state\.json\.\d+\.tmp$/.test(path) && --room.states < 0
      ? Effect.fail(new DiskError({ operation: "open", code: "ENOSPC", reason: "full" }))
      : disk.open(path, flags)
  const openOn = (on: Disk) =>
    Scope.provide(CsvStore.openStore(on, "/there/bets.csv", at), Scope.makeUnsafe())
  const store = yield* openOn({ ...disk, open })
  yield* fill(store)
  return { machine, openOn, room, store }
})

it.effect("a discard is durable even if its end could not be noted", () =>
  Effect.gen(function* () {
    const { machine, openOn, room, store } = yield* withRoomForStates
    // Room only for the state at the start of the discard.
    room.states = 1
    expect(yield* store.discard(1, randomUUID())).toBe(30)
    yield* store.append(3, 30, bets(3, 30, 5))
    machine.cut(0)
    const again = yield* openOn(machine.attach())
    expect((yield* again.progressOf(1)).bets).toBe(0)
    expect((yield* again.progressOf(3)).bets).toBe(35)
  })
)

it.effect("a discard whose end could not be noted does not drop the corrected book later", () =>
  Effect.gen(function* () {
    const { machine, openOn, room, store } = yield* withRoomForStates
    room.states = 1
    const act = randomUUID()
    expect(yield* store.discard(1, act)).toBe(30)
    // After a crash its rows would look like those of the discarded book.
    const corrected = bets(1, 50, 5)
    expect(yield* Effect.flip(store.append(1, 0, corrected))).toMatchObject({ reason: "full" })
    room.states = Number.POSITIVE_INFINITY
    yield* store.append(1, 0, corrected)
    machine.cut(0)
    const again = yield* openOn(machine.attach())
    expect(yield* again.discard(1, act)).toBe(30)
    const { text } = yield* Effect.provideService(bookOf(1), BetStore, again)
    expect(text).toBe(bytesOf([corrected]))
  })
)

it.effect(
  "a discard keeps the other books, whenever the power is cut and whatever is on the disk",
  () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      for (const kept of [0, 0.7, 1]) {
        let hasStopped = true
        for (let operation = 1; hasStopped; operation++) {
          expect(operation).toBeLessThan(TOO_MANY)
          // Without its lock, the store uses only this disk.
          const machine = CrashDisk.make("/there")
          const run = <A, E>(use: (store: BetStore["Service"]) => Effect.Effect<A, E, BetStore>) =>
            CsvStore.openStore(machine.attach(), "/there/bets.csv", at).pipe(
              Effect.flatMap((store) => Effect.provideService(use(store), BetStore, store)),
              Effect.scoped
            )
          yield* run(fill)
          // Detached, because it waits forever once the disk has stopped.
          const discarding = yield* Effect.forkDetach(
            run((store) => {
              machine.stopAfter(operation)
              return store.discard(1, randomUUID())
            })
          )
          while (!machine.hasStopped() && discarding.pollUnsafe() === undefined) {
            yield* Effect.yieldNow
          }
          hasStopped = machine.hasStopped()
          machine.cut(kept)
          seen.add(yield* run(checkBooks))
          // Readers no longer wait for the interrupted discard.
          const state = yield* readFile(machine.attach(), "/there/bets.csv.state.json")
          expect(JSON.parse(Buffer.from(state!).toString()).discarding).toBe(false)
          yield* run((store) => store.discard(1, randomUUID()))
          machine.cut(0)
          expect(yield* run(checkBooks)).toBe("gone")
        }
      }
      expect([...seen].sort()).toEqual(["finished", "gone", "unfinished"])
    })
)
