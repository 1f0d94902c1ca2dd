/**
 * Goal: `lottery status --watch` shows a draw until it is stopped, whatever becomes of the server.
 * Method: real processes, with standard output as a pipe and as a pseudo-terminal.
 */
import { spawnSync } from "node:child_process"
import { renameSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import type { DrawStanding } from "../../../src/server/operator/DrawStanding.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { bets, drawOf } from "../../server/store/BetStore.conformance.ts"
import { type Running, runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import { describePostgres, freshSchema } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"

/** Standard output so far, and a way to wait for it. */
const outputOf = ({ child }: Running) => {
  let text = ""
  let look = () => {}
  child.stdout!.on("data", (more: string) => {
    text += more
    look()
  })
  const until = (isThere: (text: string) => boolean) =>
    Effect.callback<void>((resume) => {
      look = () => isThere(text) && resume(Effect.void)
      look()
    }).pipe(Effect.timeout("20 seconds"))
  return { text: () => text, until }
}

const standingsIn = (text: string): ReadonlyArray<DrawStanding> =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line))

/** Waits for a standing after those that were printed already. */
const nextWith = (
  { text, until }: ReturnType<typeof outputOf>,
  isIt: (standing: DrawStanding) => boolean
) => {
  const seen = standingsIn(text()).length
  return until((printed) => standingsIn(printed).slice(seen).some(isIt))
}

/** Ends the watch with a signal; it must have printed only whole JSON lines and an ordinary log. */
const stopWith = Effect.fnUntraced(function* (watch: Running, signal: NodeJS.Signals) {
  yield* watch.signal(signal)
  const { code, stderr, stdout } = yield* watch.outcome
  expect(code, stderr).toBe(0)
  expect(stdout + stderr).not.toContain("\u001b")
  expect(standingsIn(stdout).length).toBeGreaterThan(1)
  return stderr
})

const watching = Effect.fnUntraced(function* (url: string, ...args: ReadonlyArray<string>) {
  const watch = yield* startLottery({
    args: ["status", "--store", url, "--watch", "--every", "50ms", ...args]
  })
  return { watch, output: outputOf(watch) }
})

const newServer = Effect.fnUntraced(function* (url: string) {
  const args = ["server", "--port", "0", "--agencies", "1,2", "--store", url]
  const server = yield* startLottery({ args })
  yield* server.logged(/action: listen/)
  return server
})

describe.each(["sqlite", "csv"] as const)("watching a %s store", (scheme) => {
  const newUrl = Effect.map(temporaryFolder, (folder) => `${scheme}:${join(folder, "store")}`)

  it.live("continues when the server is killed, and when it is back", () =>
    Effect.gen(function* () {
      const url = yield* newUrl
      const first = yield* newServer(url)
      const { output, watch } = yield* watching(url)
      yield* nextWith(output, ({ total }) => total.connections === 0)
      yield* first.signal("SIGKILL")
      yield* nextWith(output, ({ total }) => total.connections === null)
      yield* newServer(url)
      yield* nextWith(output, ({ total }) => total.connections === 0)
      const stderr = yield* stopWith(watch, "SIGINT")
      expect(stderr).toMatch(/^.*signal_received.*\n.*action: exit.*\n$/)
    })
  )

  it.live("sees what happens between two looks if no server answers", () =>
    Effect.gen(function* () {
      const url = yield* newUrl
      // Like a server without a control socket.
      const layer = StoreUrl.layer({ _tag: scheme, path: url.slice(scheme.length + 1) }, "default")
      const store = Context.get(yield* Layer.build(layer), BetStore)
      yield* store.openDraw(drawOf([1, 2]))
      yield* store.append(1, 0, bets(1, 0, 10))
      const { output, watch } = yield* watching(url, "--missing")
      const first = ({ agencies }: DrawStanding) => agencies[0]!
      yield* nextWith(output, (standing) => first(standing).perSecond === 0)
      expect(first(standingsIn(output.text())[0]!)).toMatchObject({ perSecond: null, state: null })
      yield* store.append(1, 10, bets(1, 10, 20))
      yield* nextWith(output, (standing) => {
        const { bets: stored, lastActivity, perSecond, state } = first(standing)
        return stored === 30 && perSecond! > 0 && lastActivity !== null && state === "sending"
      })
      yield* store.finish(1, 30, whole(bets(1, 0, 30)))
      yield* nextWith(output, ({ agencies }) => agencies.length === 1 && agencies[0]!.agency === 2)
      yield* stopWith(watch, "SIGTERM")
    })
  )

  it.live("shows nothing of an earlier time without a server when the server is gone again", () =>
    Effect.gen(function* () {
      const url = yield* newUrl
      const layer = StoreUrl.layer({ _tag: scheme, path: url.slice(scheme.length + 1) }, "default")
      const scope = yield* Scope.make()
      const store = Context.get(yield* Scope.provide(Layer.build(layer), scope), BetStore)
      yield* store.openDraw(drawOf([1, 2]))
      const { output, watch } = yield* watching(url)
      yield* nextWith(output, ({ agencies }) => agencies[0]!.perSecond === 0)
      yield* store.append(1, 0, bets(1, 0, 20))
      yield* nextWith(output, ({ agencies }) => agencies[0]!.perSecond! > 0)
      yield* Scope.close(scope, Exit.void)
      const server = yield* newServer(url)
      yield* nextWith(output, ({ total }) => total.connections === 0)
      yield* server.signal("SIGKILL")
      yield* nextWith(output, ({ total }) => total.connections === null)
      const all = standingsIn(output.text())
      const served = all.findLastIndex(({ total }) => total.connections !== null)
      const gone = { perSecond: null, lastActivity: null, state: null }
      expect(all[served + 1]!.agencies[0]).toMatchObject(gone)
      yield* stopWith(watch, "SIGTERM")
    })
  )

  it.live("continues when the store is away for a while, and says so", () =>
    Effect.gen(function* () {
      const url = yield* newUrl
      const path = url.slice(scheme.length + 1)
      const layer = StoreUrl.layer({ _tag: scheme, path }, "default")
      const open = Effect.flatMap(BetStore, (store) => store.openDraw(drawOf([1, 2])))
      yield* Effect.provide(open, layer)
      const { output, watch } = yield* watching(url)
      yield* nextWith(output, () => true)
      const [folder, away] = [dirname(path), `${dirname(path)}-away`]
      renameSync(folder, away)
      yield* watch.logged(/ WARNING +cannot open .*: there is no such file.*; trying again\n/)
      renameSync(away, folder)
      yield* nextWith(output, () => true)
      yield* stopWith(watch, "SIGINT")
    })
  )

  it.live("fails if there is no store at its first look", () =>
    Effect.gen(function* () {
      const { output, watch } = yield* watching(yield* newUrl)
      const { code, stderr } = yield* watch.outcome
      expect({ code, stdout: output.text() }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^.* CRITICAL .*there is no such file.*\n$/)
    })
  )
})

describePostgres("watching a PostgreSQL store", (database) => {
  it.live("sees what happens between two looks, and every draw", () =>
    Effect.gen(function* () {
      const { url } = yield* database
      const schema = yield* freshSchema(url)
      const server = yield* newServer(schema)
      const { output, watch } = yield* watching(schema)
      yield* nextWith(output, ({ total }) => total.perSecond === 0)
      const decoded = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(schema)
      const write = Effect.gen(function* () {
        const store = yield* BetStore
        yield* store.append(2, 0, bets(2, 0, 20))
      })
      yield* Effect.provide(write, StoreUrl.layer(decoded, "default"))
      yield* nextWith(output, ({ agencies }) => agencies[1]!.state === "sending")
      yield* stopWith(watch, "SIGINT")
      yield* server.signal("SIGTERM")
      yield* server.outcome
      const { code, stdout } = yield* runLottery({ args: ["status", "--store", schema, "--all"] })
      expect(code).toBe(0)
      expect(stdout).toMatch(/^draw .*\ndefault +20 +2 +0 +0 +0 +7574 +taking bets\n$/)
    })
  )
})

const hasTerminals = spawnSync("script", ["-qfec", "true", "/dev/null"]).status === 0
/** Standard output and error of the command are a terminal, which `script` copies to its own. */
const ON_TERMINAL = [
  ...["bash", "-c"],
  `exec script -qfec "stty cols 40 rows 6; exec $(printf '%q ' "$@")" /dev/null`,
  "bash"
]
const [ENTER, LEAVE, HOME] = ["\u001b[?1049h", "\u001b[?1049l", "\u001b[H"]

describe.skipIf(!hasTerminals)("watching on a terminal", () => {
  it.live("redraws what fits, and leaves the last of it when Ctrl-C ends it", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "store")
      const url = `sqlite:${path}`
      const server = yield* newServer(url)
      const watch = yield* startLottery({
        args: ["status", "--store", url, "--watch", "--every", "50ms"],
        under: ON_TERMINAL
      })
      const { text, until } = outputOf(watch)
      yield* until((shown) => shown.includes("0 connections"))
      yield* server.signal("SIGKILL")
      yield* until((shown) => shown.includes("no server answers"))
      const [folder, away] = [dirname(path), `${dirname(path)}-away`]
      renameSync(folder, away)
      yield* until((shown) => shown.includes("trying again: cannot open"))
      renameSync(away, folder)
      watch.child.stdin!.write("\u0003")
      const { code } = yield* watch.outcome
      expect(code, text()).toBe(0)
      const [before, screen, after] = text().split(/\u001b\[\?1049[hl]/)
      expect(text().indexOf(ENTER)).toBeLessThan(text().indexOf(LEAVE))
      expect(before).toBe("")
      const frames = screen!.split(HOME).slice(1)
      expect(frames.length).toBeGreaterThan(1)
      // The last one is followed by the log of the end.
      for (const frame of frames.slice(0, -1))
        expect(frame.split("\n").length).toBeLessThanOrEqual(6)
      expect(frames[0]).toContain("draw default: agencies 1, 2")
      expect(after).toContain("draw default: agencies 1, 2\r\n")
    })
  )

  it.live("prints JSON lines with --json", () =>
    Effect.gen(function* () {
      const url = `sqlite:${join(yield* temporaryFolder, "store")}`
      yield* newServer(url)
      const watch = yield* startLottery({
        args: ["status", "--store", url, "--watch", "--every", "50ms", "--json"],
        under: ON_TERMINAL
      })
      const { text, until } = outputOf(watch)
      yield* until((shown) => shown.split("\n").length > 2)
      expect(text()).not.toContain("\u001b")
      expect(JSON.parse(text().split("\r\n")[0]!)).toMatchObject({ draw: { id: "default" } })
    })
  )
})

describe("settings that would be ignored", () => {
  it.live.each([
    ["--every needs --watch", "--every", "1s"],
    ["--all cannot be used with --watch", "--all", "--watch"],
    ["--all cannot be used with --missing", "--all", "--missing"],
    ["--all cannot be used with --draw", "--all", "--draw", "sunday"]
  ])("%s", ([message, ...args]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* runLottery({ args: ["status", ...args] })
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toBe(`lottery: ${message}\n`)
    })
  )
})
