/**
 * Goal: books that an earlier release finished are sealed like others. Method: an SQLite store
 * without the digests of finished books, as that release left it.
 */
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Draw } from "../../../../src/domain/Draw.ts"
import { entriesOf } from "../../../../src/domain/seal/Seal.ts"
import type { StoreUrl } from "../../../../src/server/store/StoreUrl.ts"
import {
  AGENCIES,
  drawOf,
  type Flaw,
  finish,
  finishAll,
  recordedSeal,
  serve
} from "../../../support/model/SealedLottery.ts"
import { until } from "../../../support/peers/DrandEnd.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const ANNOUNCED = drawOf({ _tag: "announced" })

/** A server that has sealed the draw. */
const sealing = Effect.fnUntraced(function* (url: StoreUrl, draw: Draw = ANNOUNCED, flaw?: Flaw) {
  const server = yield* serve(url, draw, {}, flaw)
  yield* server.lottery.lookAgain
  yield* until(() => server.logged("waiting_for_number").length > 0)
  return server
})

/** A store whose draw is not sealed, although its books are finished. */
const finished = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "store")
  const unsealed: Flaw = (store) => ({ ...store, recordEntries: () => Effect.never })
  const server = yield* serve({ _tag: "sqlite", path }, ANNOUNCED, {}, unsealed)
  yield* finishAll(server)
  yield* until(() => server.lottery.standings.now().finished === AGENCIES.length)
  yield* server.stop
  return path
})

const withoutSalts = (entries: ReadonlyArray<string>) =>
  entries.map((entry) => entry.replace(/ [0-9a-f]{32}\n$/, "\n"))

describe("a book that was finished without a digest", () => {
  it.live.each([{ agencies: AGENCIES }, { agencies: [7] }])("is sealed: %j", ({ agencies }) =>
    Effect.gen(function* () {
      const path = yield* finished
      const database = new DatabaseSync(path)
      const columns = "book_bytes = null, sha256 = null, marks = null"
      for (const agency of agencies) {
        database.exec(`update agencies set ${columns} where agency = ${agency}`)
      }
      database.close()
      const old = yield* sealing({ _tag: "sqlite", path })
      const today = yield* sealing({ _tag: "sqlite", path: yield* finished })
      const [before, after] = [yield* recordedSeal(old.store), yield* recordedSeal(today.store)]
      const sealedAt = 1
      const entriesIn = ({ seal }: typeof before) => withoutSalts(entriesOf({ ...seal, sealedAt }))
      expect(entriesIn(before)).toEqual(entriesIn(after))
      const kinds = entriesIn(before).map((entry) => entry.split(" ").slice(0, 3).join(" "))
      expect(kinds.slice(-3)).toEqual(["mark 7 65536", "mark 7 131072", "book 7 5000"])
      expect((yield* old.store.digests).size).toBe(3)
    })
  )
})

describe("the salts", () => {
  it.live("are other ones for each book and each draw", () =>
    Effect.gen(function* () {
      const salts: Array<string> = []
      for (let draw = 0; draw < 2; draw++) {
        const { store } = yield* sealing({ _tag: "sqlite", path: yield* finished })
        const { seal } = yield* recordedSeal(store)
        for (const of of seal.agencies) if ("salt" in of) salts.push(of.salt)
      }
      expect(new Set(salts).size).toBe(6)
      for (const salt of salts) expect(salt).toMatch(/^[0-9a-f]{32}$/)
    })
  )
})

it.live("a server that looks at an unfinished draw records no entries", () =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "store")
    const server = yield* serve({ _tag: "sqlite", path }, ANNOUNCED)
    yield* finish(server.store, 1)
    yield* server.lottery.lookAgain
    yield* until(() => server.lottery.standings.now().finished === 1)
    expect((yield* server.store.evidence).entries).toBeUndefined()
  })
)

it.live("nothing is signed if another program removed the entries", () =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "store")
    const removed: Flaw = (store) => ({
      ...store,
      evidence: Effect.succeed({ entries: undefined, seal: undefined, result: undefined })
    })
    const server = yield* serve({ _tag: "sqlite", path }, ANNOUNCED, {}, removed)
    yield* finishAll(server)
    yield* until(() => server.logged("sorteo").length > 0)
    expect(server.logged("sorteo")[0]).toContain("the store has lost the entries of the seal")
    expect(server.lottery.overview().state).toBe("closed")
  })
)
