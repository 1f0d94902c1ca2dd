/**
 * Goal: a kill at any data sync leaves an operator's act done or not done, never half, and giving
 * it again ends as if it had been given once. Method: strace kills the server that executes the
 * act, or the command that acts on the store itself, at each sync in turn. Then the store is read,
 * a server opens it, and the act is given again.
 */
import { randomUUID } from "node:crypto"
import { cpSync, mkdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { it } from "@effect/vitest"
import { Effect, Option, Schema, type Scope, Stream } from "effect"
import { describe, expect } from "vitest"
import { Draw } from "../../../src/domain/Draw.ts"
import * as ControlClient from "../../../src/server/operator/control/ControlClient.ts"
import { BetStore, BetStoreReader } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { bets, bytesOf, winnersIn } from "../../server/store/BetStore.conformance.ts"
import { type Outcome, runLottery } from "../../support/processes/lotteryCommand.ts"
import { inFolder, STORES, startServer } from "../../support/processes/lotteryParties.ts"
import {
  attach,
  COUNTABLE,
  canTrace,
  type Kill,
  killsIn,
  tracing
} from "../../support/processes/syncKills.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"

const IS_LONG = Boolean(process.env.LOTTERY_TEST_LONG)
const NUMBER = 7574
const CLOSE_AT = "2099-12-01T00:00:00Z"
const MOVED = "2099-12-02T00:00:00Z"
const draw = new Draw({
  id: "default",
  agencies: [1, 2, 3],
  source: { _tag: "announced" },
  closeAt: Date.parse(CLOSE_AT)
})
const SERVER = ["--agencies", "3", "--number-from", "announced", "--close-at", CLOSE_AT]

type Store = BetStore["Service"]

interface Act {
  readonly args: ReadonlyArray<string>
  /** What is stored before it, in addition to the finished books of agencies 1 and 3. */
  readonly before: (store: Store) => Effect.Effect<unknown, unknown>
  /** The logged line of a server that has executed it completely. */
  readonly done: RegExp
}

const ACTS: Readonly<Record<string, Act>> = {
  "an exclusion": {
    args: ["close", "--without", "2", "--yes"],
    before: (store) => store.append(2, 0, bets(2, 0, 20)),
    done: /agency_excluded/
  },
  "a moved close": {
    args: ["close", "--at", MOVED, "--yes"],
    before: (store) => store.append(2, 0, bets(2, 0, 20)),
    done: /close_moved/
  },
  "a discard": {
    args: ["discard", "--agency", "2", "--yes"],
    before: (store) => store.append(2, 0, bets(2, 0, 20), { last: whole(bets(2, 0, 20)) }),
    done: /book_discarded/
  },
  "a draw": {
    args: ["draw", "--number", `${NUMBER}`, "--yes"],
    before: (store) => Effect.andThen(store.append(2, 0, bets(2, 0, 20)), store.exclude([2])),
    done: /action: sorteo/
  }
}

const urlOf = Schema.decodeEffect(StoreUrl.StoreUrlFromText)

const write = <A, E>(text: string, run: (store: Store) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const url = yield* urlOf(text)
    return yield* Effect.provide(Effect.flatMap(BetStore, run), StoreUrl.layer(url, draw.id))
  })

const prepare = (url: string, { before }: Act) =>
  write(url, (store) =>
    Effect.gen(function* () {
      yield* store.openDraw(draw)
      for (const agency of [1, 3]) {
        yield* store.append(agency, 0, bets(agency, 0, 20), { last: whole(bets(agency, 0, 20)) })
      }
      yield* before(store)
    })
  )

/** Reads all that a store says. */
const contentOf = Effect.fnUntraced(function* (text: string) {
  const url = yield* urlOf(text)
  const look = Effect.gen(function* () {
    const reader = yield* BetStoreReader
    const books = yield* Effect.forEach(draw.agencies, (agency) =>
      Effect.map(Stream.runCollect(reader.book(agency, 0)), (batches) => bytesOf([...batches]))
    )
    const progress = yield* reader.progress
    const agencies = draw.agencies.map((agency) => progress.get(agency))
    const stored = Option.getOrThrow(yield* reader.draw)
    return { draw: stored, agencies, books, winners: yield* winnersIn(reader) }
  })
  return yield* Effect.provide(look, StoreUrl.layerReader(url, draw.id))
})
type Content = Effect.Success<ReturnType<typeof contentOf>>

/** What a kill may leave of an act. A draw is numbered, and then held by the next server. */
type Left = "nothing" | "an unfinished book" | "a number" | "everything"

const leftOf = (content: Content, before: Content, after: Content): Left => {
  const { agencies, draw: stored } = content
  if (stored.winningNumber !== undefined && !stored.drawn) {
    expect(content).toEqual({ ...after, draw: { ...after.draw, drawn: false }, winners: [] })
    return "a number"
  }
  const [, one] = agencies
  const [, other] = before.agencies
  if (one?.bets === other?.bets && one?.finished === false && other?.finished === true) {
    expect({ ...content, agencies: before.agencies }).toEqual(before)
    return "an unfinished book"
  }
  if (isDeepStrictEqual(content, after)) return "everything"
  expect(content).toEqual(before)
  return "nothing"
}

interface Given {
  readonly url: string
  readonly act: Act
  readonly to: string | Kill
}

const argsOf = (url: string, { args: [command, ...rest] }: Act) => [
  ...[command!, "--store", url],
  ...rest
]

/** Starts a server, and traces it once it listens. */
const startTraced = Effect.fnUntraced(function* (url: string, to: string | Kill) {
  const server = yield* startServer({ store: url, more: SERVER, env: COUNTABLE })
  yield* attach(server.child, to)
  return server
})

/** Gives the act to a server, then stops it. The server may be killed at any point. */
const throughServer = Effect.fnUntraced(function* (
  { act, to, url }: Given,
  ask: Effect.Effect<Outcome, unknown> = runLottery({ args: argsOf(url, act) })
) {
  const server = yield* startTraced(url, to)
  const command = yield* ask
  yield* Effect.raceFirst(
    Effect.catchDefect(server.logged(act.done), () => Effect.void),
    server.outcome
  )
  yield* server.signal("SIGTERM")
  return { command, wasKilled: (yield* server.outcome).code === null }
}, Effect.scoped)

/** Gives the act to a command that acts on the store itself, and may be killed. */
const alone = Effect.fnUntraced(function* ({ act, to, url }: Given) {
  const path = url.slice(url.indexOf(":") + 1)
  const names = ["", "-wal", ".state.json", ".winners.csv"].map((end) => path + end)
  // The syncs of the lock are in another thread, which counts on its own.
  const isSync = typeof to !== "string" && to[0] !== "rename"
  const only = isSync ? [dirname(path), ...names].flatMap((file) => ["-P", file]) : []
  // A tracer that is not the parent leaves signals and exit codes as they are.
  const under = ["strace", "-D", "-qqq", "-y", ...only, ...tracing(to)]
  const command = yield* runLottery({ args: argsOf(url, act), under, env: COUNTABLE })
  return { command, wasKilled: command.code === null }
})

type Give = (
  given: Given
) => Effect.Effect<{ readonly command: Outcome; readonly wasKilled: boolean }, unknown, Scope.Scope>
const WAYS: Readonly<Record<string, Give>> = { "the server": throughServer, "the command": alone }

/** The command succeeded, or says in a line that it does not know. */
const expectOneLine = ({ code, stderr }: Outcome) => {
  if (code === 0) return
  expect(code, stderr).toBe(1)
  expect(stderr.trimEnd().split("\n"), stderr).toHaveLength(1)
}

/** A server that opens the store holds a draw that is numbered. */
const restart = Effect.fnUntraced(function* (url: string) {
  const server = yield* startServer({ store: url, more: SERVER })
  if ((yield* contentOf(url)).draw.winningNumber !== undefined) {
    yield* server.logged(/action: (sorteo|draw_held)/)
  }
  yield* server.signal("SIGTERM")
  expect((yield* server.outcome).code).toBe(0)
}, Effect.scoped)

interface Copies {
  readonly before: Content
  readonly after: Content
  readonly kills: ReadonlyArray<Kill>
  /** Copies the store as it was before the act; returns its URL. */
  readonly copy: (name: string) => string
}

/** Gives the act once without a kill. Returns the store before and after it, and where to kill. */
const withoutKill = Effect.fnUntraced(function* (store: string, act: Act, give: Give) {
  const folder = yield* temporaryFolder
  const original = join(folder, "before")
  mkdirSync(original)
  yield* prepare(inFolder(original, store), act)
  const before = yield* contentOf(inFolder(original, store))
  const copy = (name: string) => {
    cpSync(original, join(folder, name), { recursive: true })
    return inFolder(join(folder, name), store)
  }
  const trace = join(folder, "trace")
  const url = copy("after")
  const { command, wasKilled } = yield* give({ url, act, to: trace })
  expect(command.code, command.stderr).toBe(0)
  expect(wasKilled).toBe(false)
  yield* restart(url)
  const after = yield* contentOf(url)
  expect(after).not.toEqual(before)
  const kills = killsIn(readFileSync(trace, "utf8"))
  return { before, after, kills, copy } satisfies Copies
})

/** Kills at one call, looks at what is left, and gives the act again. */
const withKill = Effect.fnUntraced(function* (
  { after, before, copy }: Copies,
  act: Act,
  give: Give,
  kill: Kill
) {
  const url = copy(kill.join("-"))
  const { command, wasKilled } = yield* give({ url, act, to: kill })
  expect(wasKilled, kill.join()).toBe(true)
  if (command.code !== null) expectOneLine(command)
  const left = leftOf(yield* contentOf(url), before, after)
  if (command.code === 0) expect(["a number", "everything"], command.stderr).toContain(left)
  yield* restart(url)
  const found = leftOf(yield* contentOf(url), before, after)
  expect(found).toBe(left === "a number" ? "everything" : left)
  const again = yield* runLottery({ args: argsOf(url, act) })
  expect(again.code, again.stderr).toBe(0)
  yield* restart(url)
  expect(yield* contentOf(url)).toEqual(after)
  return left
})

/** All kills in the long form, one of them otherwise. */
const sampleOf = (kills: ReadonlyArray<Kill>) =>
  IS_LONG ? kills : kills.slice(kills.length / 2).slice(0, 1)

const CASES = STORES.flatMap((store, storeIndex) =>
  Object.entries(ACTS).flatMap(([what, act], actIndex) =>
    Object.entries(WAYS).map(([who, give], wayIndex) => ({
      ...{ store, what, act, who, give },
      isSample: (storeIndex + actIndex + wayIndex) % 4 === 0
    }))
  )
).filter(({ isSample }) => IS_LONG || isSample)

/** What kills must leave at least, to prove that they were in the middle of the act. */
const expectedLeft = (what: string, who: string, store: string): ReadonlyArray<Left> => {
  if (who === "the server") return what === "a draw" ? ["a number", "everything"] : ["everything"]
  if (what === "a draw") return ["nothing", "a number"]
  return what === "a discard" && store.startsWith("csv")
    ? ["nothing", "an unfinished book", "everything"]
    : ["nothing", "everything"]
}

describe.skipIf(!canTrace)("kill -9 at a data sync", () => {
  it.live.each(CASES)(
    "of $who leaves $what done or not done: $store",
    ({ act, give, store, what, who }) =>
      Effect.gen(function* () {
        const copies = yield* withoutKill(store, act, give)
        const left = yield* Effect.forEach(sampleOf(copies.kills), (kill) =>
          withKill(copies, act, give, kill)
        )
        expect(left.length).toBeGreaterThan(0)
        if (IS_LONG) expect(new Set(left)).toEqual(new Set(expectedLeft(what, who, store)))
      }),
    600_000
  )

  it.live.each(STORES)(
    "of a server never lets the same discard drop the corrected book: %s",
    (store) =>
      Effect.gen(function* () {
        const act = randomUUID()
        const ask = (text: string) =>
          Effect.gen(function* () {
            const url = yield* urlOf(text)
            const discarded = yield* ControlClient.act(url, draw.id, (control) =>
              control.Discard({ draw: draw.id, agency: 2, act })
            )
            return { code: 0, stdout: `${discarded}`, stderr: "" }
          })
        const give: Give = (given) => throughServer(given, ask(given.url))
        const { copy, kills } = yield* withoutKill(store, ACTS["a discard"]!, give)
        for (const kill of sampleOf(kills)) {
          const url = copy(kill.join("-"))
          const { command, wasKilled } = yield* give({ url, act: ACTS["a discard"]!, to: kill })
          expect(wasKilled).toBe(true)
          expect(command.stdout).toBe("20")
          yield* write(url, ({ append }) => append(2, 0, bets(2, 50, 3)))
          expect((yield* ask(url)).stdout).toBe("20")
          expect((yield* contentOf(url)).books[1]).toBe(bytesOf([bets(2, 50, 3)]))
        }
      }),
    600_000
  )
})
