/**
 * Goal: a `bets.csv` with damage that no crash explains is never opened, and stored bytes are never
 * cut. Method: change the file or the state of a closed store, then open it for writing and for
 * reading.
 */

import { randomUUID } from "node:crypto"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Logger, Result, Stream } from "effect"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import { BetStore, BetStoreReader, NO_PROGRESS } from "../../../../src/server/store/BetStore.ts"
import { makeReader } from "../../../../src/server/store/csv/CsvReader.ts"
import { MAX_ROW_BYTES } from "../../../../src/server/store/csv/CsvRow.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bookOf, bytesOf, drawOf, holdDraw, winnersIn } from "../BetStore.conformance.ts"

const using = <A, E>(path: string, run: Effect.Effect<A, E, BetStore>) =>
  Effect.scoped(
    Effect.provideServiceEffect(run, BetStore, CsvStore.make({ path, drawId: "default" }))
  ).pipe(Effect.provide(Logger.layer([])))

const reading = <A, E>(path: string, run: Effect.Effect<A, E, BetStoreReader>) =>
  Effect.scoped(
    Effect.provideServiceEffect(run, BetStoreReader, makeReader({ path, drawId: "default" }))
  )

const inFolder = Effect.map(temporaryFolder, (folder) => join(folder, "bets.csv"))

/** A closed store: agency 1 has finished, agency 2 has not. */
const stored = Effect.gen(function* () {
  const path = yield* inFolder
  yield* using(
    path,
    Effect.gen(function* () {
      const store = yield* BetStore
      yield* store.openDraw(drawOf([1, 2]))
      yield* store.append(1, 0, bets(1, 0, 20), { last: whole(bets(1, 0, 20)) })
      yield* store.append(2, 0, bets(2, 0, 15))
    })
  )
  return path
})

const stateIn = (path: string) => JSON.parse(readFileSync(`${path}.state.json`, "utf8"))

const changeState = (path: string, change: object) =>
  writeFileSync(`${path}.state.json`, JSON.stringify({ ...stateIn(path), ...change }))

/** The state of such a store as version 1 wrote it. */
const FIRST_STATE =
  '{"version":1,"draw":"default","opened":{"agencies":[1,2],"winningNumber":7574},' +
  '"recorded":false,"finished":[{"agency":1,"bets":20}],"told":[1]}\n'

/** The offset of each row. */
const startsOf = (bytes: Buffer): ReadonlyArray<number> => [
  0,
  ...[...bytes.keys()].filter((at) => bytes[at] === 0x0a).map((at) => at + 1)
]

/** Changes a byte of the file; returns the changed file. */
const changeByte = (path: string, at: number, byte: number): Buffer => {
  const bytes = readFileSync(path)
  bytes[at] = byte
  writeFileSync(path, bytes)
  return bytes
}

/** Expects writing and reading to fail with this reason and to change no file. */
const expectRefused = Effect.fnUntraced(function* (path: string, reason: string | RegExp) {
  const before = existsSync(path) ? readFileSync(path) : undefined
  const state = existsSync(`${path}.state.json`) && readFileSync(`${path}.state.json`, "utf8")
  for (const opened of [using(path, Effect.void), reading(path, Effect.void)]) {
    const error = yield* Effect.flip(opened)
    expect(error).toMatchObject({ _tag: "StoreOpenError", store: path })
    expect(error.message).toMatch(reason)
    expect(error.message).not.toContain("\n")
  }
  expect(existsSync(path) ? readFileSync(path) : undefined).toEqual(before)
  if (state !== false) expect(readFileSync(`${path}.state.json`, "utf8")).toBe(state)
})

const progressIn = (path: string) =>
  reading(
    path,
    Effect.flatMap(BetStoreReader, (books) => books.progress)
  )

const FULL = new Map([
  [1, { ...NO_PROGRESS, bets: 20, finished: true }],
  [2, { ...NO_PROGRESS, bets: 15 }]
])

describe("a damaged CSV store", () => {
  it.live("is not cut at a damaged row in the synced part, even near the end", () =>
    Effect.gen(function* () {
      const path = yield* stored
      const good = readFileSync(path)
      const starts = startsOf(good)
      for (const row of [1, 25, 34]) {
        changeByte(path, starts[row]! + 3, 0x0b)
        const where = `damaged at byte ${starts[row]}: the row there is not a valid bet`
        yield* expectRefused(path, `${where}, but ${good.length} bytes were stored`)
        writeFileSync(path, good)
      }
      expect(yield* progressIn(path)).toEqual(FULL)
    })
  )

  it.live("is cut at a damaged row after the synced part", () =>
    Effect.gen(function* () {
      const path = yield* stored
      const starts = startsOf(readFileSync(path))
      changeState(path, { synced: starts[30] })
      changeByte(path, starts[31]! + 3, 0x0b)
      chmodSync(path, 0o600)
      const { bets: held } = yield* using(
        path,
        Effect.flatMap(BetStore, (store) => store.progressOf(2))
      )
      expect(held).toBe(11)
      expect(readFileSync(path).length).toBe(starts[31])
      expect(statSync(`${path}.cut-${starts[31]}`).mode & 0o777).toBe(0o600)
    })
  )

  it.live("is cut by at most the bytes that a crash can leave", () =>
    Effect.gen(function* () {
      const path = yield* stored
      const good = readFileSync(path)
      const open = Effect.scoped(
        CsvStore.make({ path, drawId: "default", tailLimitBytes: 1000 })
      ).pipe(Effect.provide(Logger.layer([])))
      // The unsynced bytes plus the row that they may begin in.
      const most = 1000 + MAX_ROW_BYTES
      writeFileSync(path, Buffer.concat([good, Buffer.alloc(most + 1)]))
      expect((yield* Effect.flip(open)).message).toContain("too far from the end")
      expect(readFileSync(path).length).toBe(good.length + most + 1)
      writeFileSync(path, Buffer.concat([good, Buffer.alloc(most)]))
      yield* open
      expect(readFileSync(path).equals(good)).toBe(true)
    })
  )

  it.live("is refused if a finished book contains a different valid bet", () =>
    Effect.gen(function* () {
      const path = yield* stored
      const at = readFileSync(path).indexOf("1990")
      changeByte(path, at + 3, "8".charCodeAt(0))
      const { bytes } = whole(bets(1, 0, 20))
      const where = `its book differs first in bytes 0 to ${bytes} (restore it and its state file`
      yield* expectRefused(
        path,
        `the 20 bets of agency 1 are not the ones it finished with; ${where}`
      )
      expect(readFileSync(path, "utf8")).toContain("1998")
    })
  )

  it.live("is refused if the file is shorter or missing, with the number of missing bytes", () =>
    Effect.gen(function* () {
      const path = yield* stored
      const good = readFileSync(path)
      for (const missing of [1, 60, good.length]) {
        writeFileSync(path, good.subarray(0, good.length - missing))
        yield* expectRefused(path, `damaged: ${missing} bytes are missing at its end`)
      }
      rmSync(path)
      yield* expectRefused(path, /the file is missing|there is no such file/)
    })
  )

  it.live("is refused if file and state are copies from different times", () =>
    Effect.gen(function* () {
      const path = yield* stored
      copyFileSync(path, `${path}.before`)
      copyFileSync(`${path}.state.json`, `${path}.state.before`)
      yield* using(
        path,
        Effect.gen(function* () {
          const store = yield* BetStore
          yield* store.append(2, 15, bets(2, 15, 1), { last: whole(bets(2, 0, 16)) })
        })
      )
      // An older state accepts a newer file.
      copyFileSync(`${path}.state.before`, `${path}.state.json`)
      expect((yield* progressIn(path)).get(2)).toMatchObject({ bets: 16, finished: false })
      yield* using(
        path,
        Effect.flatMap(BetStore, (store) => store.discard(1, randomUUID()))
      )
      copyFileSync(`${path}.state.before`, `${path}.state.json`)
      yield* expectRefused(path, "bytes are missing at its end")
    })
  )

  it.live("is refused if its state has a later version", () =>
    Effect.gen(function* () {
      const path = yield* stored
      writeFileSync(`${path}.state.json`, '{"version":5,"whatever":"it is"}')
      yield* expectRefused(path, /state\.json has version 5, but this release supports at most 4/)
    })
  )
})

describe("a CSV store of version 1", () => {
  it.live("is read without changes, and becomes the current version when opened for writing", () =>
    Effect.gen(function* () {
      const path = yield* stored
      const state = stateIn(path)
      writeFileSync(`${path}.state.json`, FIRST_STATE)
      const told = new Map(FULL).set(1, { ...FULL.get(1)!, told: true })
      expect(yield* progressIn(path)).toEqual(told)
      expect(readFileSync(`${path}.state.json`, "utf8")).toBe(FIRST_STATE)
      yield* using(path, Effect.void)
      const { sha256 } = whole(bets(1, 0, 20))
      expect(state).toMatchObject({ version: 4, finished: [{ agency: 1, bets: 20, sha256 }] })
      expect(stateIn(path)).toEqual({ ...state, told: [1] })
    })
  )

  it.live("is not cut at a damaged row that a bet follows", () =>
    Effect.gen(function* () {
      const path = yield* stored
      writeFileSync(`${path}.state.json`, FIRST_STATE)
      const starts = startsOf(readFileSync(path))
      changeByte(path, starts[33]! + 3, 0x0b)
      yield* expectRefused(
        path,
        `damaged at byte ${starts[33]}: the row there is not a valid bet, and bets f`
      )
    })
  )

  it.live("is cut at a damaged last row unless a finished book needs it", () =>
    Effect.gen(function* () {
      const path = yield* stored
      writeFileSync(`${path}.state.json`, FIRST_STATE)
      const starts = startsOf(readFileSync(path))
      changeByte(path, starts[34]! + 3, 0x0b)
      yield* using(path, Effect.void)
      expect((yield* progressIn(path)).get(2)).toMatchObject({ bets: 14 })
      writeFileSync(`${path}.state.json`, FIRST_STATE)
      writeFileSync(path, readFileSync(path).subarray(0, starts[20]! - 3))
      yield* expectRefused(
        path,
        /damaged at byte \d+: agency 1 finished with 20 bets, but the file has 19/
      )
    })
  )
})

describe("a bets.csv from another program", () => {
  const LINES = ["1,Ana,Diaz,30000001,1990-01-01,12", '1,"O, Li",Paz,2,1990-01-01,7574']
  const ROWS = LINES.map((line) => `${line.slice(2)}\n`).join("")

  it.live("can be read, appended to and discarded from if its lines end in LF", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      writeFileSync(path, `${LINES.join("\n")}\n`)
      const book = reading(
        path,
        Effect.flatMap(BetStoreReader, (books) => Stream.runCollect(books.book(1, 0)))
      )
      expect(bytesOf(yield* book)).toBe(ROWS)
      yield* using(
        path,
        Effect.gen(function* () {
          const store = yield* BetStore
          yield* store.append(2, 0, bets(2, 0, 5))
          yield* store.append(1, 2, bets(1, 2, 3))
          expect((yield* bookOf(1)).text).toBe(ROWS + bytesOf([bets(1, 2, 3)]))
          expect((yield* bookOf(1, 1)).text).toBe(
            ROWS.slice(ROWS.indexOf("\n") + 1) + bytesOf([bets(1, 2, 3)])
          )
        })
      )
      expect(readFileSync(path, "utf8")).toContain(`${LINES[1]}\n2,Ana`)
      yield* using(
        path,
        Effect.gen(function* () {
          const store = yield* BetStore
          expect(yield* store.discard(2, randomUUID())).toBe(5)
          expect((yield* bookOf(1)).text).toBe(ROWS + bytesOf([bets(1, 2, 3)]))
          yield* store.openDraw(drawOf([1]))
          const wholeBook = whole(new BetBatch(Buffer.from(ROWS), 2), bets(1, 2, 3))
          yield* store.finish(1, 5, wholeBook)
          yield* holdDraw(store)
          const winning = ROWS.slice(ROWS.indexOf("\n") + 1) + bytesOf([bets(1, 3, 1)])
          expect(yield* winnersIn(store)).toEqual([[1, winning]])
        })
      )
      expect((yield* progressIn(path)).get(1)).toMatchObject({ bets: 5 })
    })
  )

  it.live("can be read while the program writes its last row, unless that is not a row", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      for (const [rest, bets] of [
        ["2,Eva", 2],
        ["2".padEnd(MAX_ROW_BYTES, "x"), 2],
        ["2".padEnd(MAX_ROW_BYTES + 1, "x"), undefined],
        ["2,Eva\n", undefined]
      ] as const) {
        writeFileSync(path, `${LINES.join("\n")}\n${rest}`)
        const seen = yield* Effect.result(progressIn(path))
        if (bets !== undefined) expect(Result.getOrThrow(seen).get(1)).toMatchObject({ bets })
        else expect(String(seen)).toContain("damaged at byte")
      }
    })
  )

  it.live("is refused, and its mistake is named", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const text = `${LINES.join("\r\n")}\r\n`
      const bom = Buffer.concat([Buffer.of(0xef, 0xbb, 0xbf), Buffer.from(text)])
      for (const [bytes, what] of [
        [bom, "begins with a byte order mark; remove its first 3 bytes"],
        [Buffer.from(`\ufeff${text}`, "utf16le"), "looks like UTF-16; convert it to UTF-8"],
        [text.replaceAll("\r\n", "\r\r\n"), "lines end in CR CR LF; remove one CR from each"],
        [`${LINES[0]}\r\n\r\n${LINES[1]}\r\n`, "damaged at byte 35, or not a store: .*empty line"]
      ] as const) {
        writeFileSync(path, bytes)
        yield* expectRefused(path, new RegExp(what))
      }
      writeFileSync(path, LINES.join("\n"))
      const error = yield* Effect.flip(using(path, Effect.void))
      expect(error.message).toContain(
        "damaged at byte 34, or not a store: its last row has no line"
      )
    })
  )
})

it.live.each(["removed", "replaced"] as const)(
  "a file that is %s while its store is open breaks the store at the next finish",
  (how) =>
    Effect.gen(function* () {
      const path = yield* stored
      yield* using(
        path,
        Effect.gen(function* () {
          const store = yield* BetStore
          const bytes = readFileSync(path)
          rmSync(path)
          if (how === "replaced") writeFileSync(path, bytes)
          const failure = yield* Effect.flip(store.finish(2, 15, whole(bets(2, 0, 15))))
          expect(failure._tag).toBe("StoreBroken")
          expect(failure.message).toContain("was removed or replaced by another program")
          expect((yield* Effect.flip(store.broken))._tag).toBe("StoreBroken")
        })
      )
      const opened = yield* Effect.exit(using(path, Effect.asVoid(BetStore)))
      expect(opened._tag).toBe(how === "removed" ? "Failure" : "Success")
      if (how === "removed") expect(String(opened)).toContain(" stored bytes (restore both")
    })
)
