/**
 * Goal: a command acts through the server that has the store, or on the store itself, and never
 * both; if the answer is lost it asks again with the same id. Method: real locks and sockets, and a
 * scripted server that breaks connections.
 */
import { randomUUID } from "node:crypto"
import { existsSync, readdirSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Scope } from "effect"
import { fixedNumber } from "../../../../src/domain/Draw.ts"
import * as ControlClient from "../../../../src/server/operator/control/ControlClient.ts"
import { BetStore } from "../../../../src/server/store/BetStore.ts"
import * as StoreLock from "../../../../src/server/store/embedded/StoreLock.ts"
import * as StoreUrl from "../../../../src/server/store/StoreUrl.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { bets } from "../../store/BetStore.conformance.ts"

type Url = Exclude<StoreUrl.StoreUrl, { readonly _tag: "postgres" }>

const discard = (url: Url, agency: number, draw = "default", act: string = randomUUID()) =>
  ControlClient.act(url, draw, (control) => control.Discard({ draw, agency, act }))

const fill = Effect.gen(function* () {
  const store = yield* BetStore
  yield* store.openDraw({ agencies: [1, 2], source: fixedNumber(7574) })
  yield* store.append(1, 0, bets(1, 0, 7))
  yield* store.append(2, 0, bets(2, 0, 3))
})

const newUrl = (scheme: Url["_tag"]) =>
  Effect.map(temporaryFolder, (folder): Url => ({ _tag: scheme, path: join(folder, "store") }))

const filled = (scheme: Url["_tag"]) =>
  Effect.tap(newUrl(scheme), (url) => Effect.provide(fill, StoreUrl.layer(url, "default")))

/** Takes the lock of a store, which `release` returns. */
const hold = Effect.fnUntraced(function* (url: Url) {
  const scope = yield* Scope.make()
  yield* Scope.provide(StoreLock.acquire(url.path, url.path), scope)
  const release = Scope.close(scope, Exit.void)
  yield* Effect.addFinalizer(() => release)
  return { release }
})

interface Asked {
  readonly id: number
  readonly tag: string
  readonly payload: { readonly act: string }
}

/** A server that answers `Ready`; `obey` decides about the rest. Returns the ids of the acts. */
const scripted = Effect.fnUntraced(function* (
  url: Url,
  obey: (peer: Socket, asked: Asked) => void
) {
  const acts: Array<string> = []
  const hear = (peer: Socket) => (line: string) => {
    if (line === "") return
    const asked = JSON.parse(line) as Asked
    if (asked.tag === "Ready") peer.write(answerTo(asked, null))
    if (asked.tag !== "Discard" && asked.tag !== "Standing") return
    acts.push(asked.payload.act)
    obey(peer, asked)
  }
  const peers = new Set<Socket>()
  yield* Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer((peer) => {
        peers.add(peer)
        peer.on("data", (data) => data.toString().split("\n").forEach(hear(peer)))
      }).listen(`${url.path}.sock`, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        for (const peer of peers) peer.destroy()
        server.close()
      })
  )
  return acts
})

const defectTo = ({ id: requestId }: Asked, defect: string) => {
  const cause = [{ _tag: "Die", defect }]
  return `${JSON.stringify({ _tag: "Exit", requestId, exit: { _tag: "Failure", cause } })}\n`
}

const answerTo = ({ id: requestId }: Asked, value: unknown) =>
  `${JSON.stringify({ _tag: "Exit", requestId, exit: { _tag: "Success", value } })}\n`

describe.concurrent.each(["sqlite", "csv"] as const)("a command on a %s store", (scheme) => {
  it.live("acts on the store itself if no server has it, and creates no store", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      const act = randomUUID()
      expect(yield* discard(url, 1, "default", act)).toBe(7)
      expect(yield* discard(url, 1)).toBe(0)
      expect(yield* discard(url, 1, "default", act)).toBe(7)
      expect(yield* Effect.flip(discard(url, 2, "monday"))).toMatchObject({
        _tag: "StoreOpenError",
        reason: expect.stringMatching(/it .*default/)
      })
      const missing = yield* newUrl(scheme)
      expect(yield* Effect.flip(discard(missing, 1))).toMatchObject({
        _tag: "StoreOpenError",
        reason: expect.stringMatching(/^there is no such file/)
      })
      expect(readdirSync(dirname(missing.path))).toEqual([])
    })
  )

  it.live("waits for another command, and for a server that does not listen yet", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      const both = [discard(url, 1), discard(url, 2)]
      expect(yield* Effect.all(both, { concurrency: 2 })).toEqual([7, 3])
      const { release } = yield* hold(url)
      const waiting = yield* Effect.forkChild(discard(url, 1))
      yield* Effect.sleep("1 second")
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* scripted(url, (peer, asked) => peer.write(answerTo(asked, 4)))
      expect(yield* Fiber.join(waiting)).toBe(4)
      yield* release
    })
  )

  it.live("gives up after five seconds if the process with the lock does not listen", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      yield* hold(url)
      expect(yield* Effect.flip(discard(url, 1))).toMatchObject({
        message:
          `cannot open ${url.path}: in use by process ${process.pid}, ` +
          "which does not answer on its control socket"
      })
    })
  )

  it.live("asks again with the same id if the answer is lost", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      yield* hold(url)
      const ids = yield* scripted(url, (peer, asked) => {
        if (ids.length < 3) peer.destroy()
        else peer.write(answerTo(asked, 7))
      })
      expect(yield* discard(url, 1)).toBe(7)
      expect(ids).toHaveLength(3)
      expect(new Set(ids).size).toBe(1)
    })
  )

  it.live("does not ask again once it is interrupted", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      yield* hold(url)
      const asked = yield* scripted(url, () => {})
      const waiting = yield* Effect.forkChild(discard(url, 1))
      while (asked.length === 0) yield* Effect.sleep("10 millis")
      yield* Fiber.interrupt(waiting)
      yield* Effect.sleep("200 millis")
      expect(asked).toHaveLength(1)
      const exit = yield* Fiber.await(waiting)
      expect(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)).toBe(true)
    })
  )

  it.live("says that the outcome is unknown if the server never answers", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      yield* hold(url)
      const ids = yield* scripted(url, (peer) => peer.destroy())
      const error = yield* Effect.flip(discard(url, 1))
      expect(error.message).toBe(
        `the server that has ${url.path} open is gone or hangs: ` +
          "it is unknown whether it did what the command asked; " +
          "if lottery status shows that it did not, give the command again"
      )
      expect(ids).toHaveLength(4)
    })
  )

  it.live("acts on the store itself if the server dies before it answers", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      const { release } = yield* hold(url)
      const waiting = yield* Effect.scoped(
        Effect.gen(function* () {
          const asked = yield* scripted(url, () => {})
          const fiber = yield* Effect.forkDetach(discard(url, 1))
          while (asked.length === 0) yield* Effect.sleep("10 millis")
          return fiber
        })
      )
      yield* Effect.sleep("100 millis")
      expect(existsSync(`${url.path}.sock`)).toBe(false)
      yield* release
      expect(yield* Fiber.join(waiting)).toBe(7)
    })
  )

  it.live("says that the outcome is unknown if the lock stays taken after the server died", () =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      yield* hold(url)
      const waiting = yield* Effect.scoped(
        Effect.gen(function* () {
          const asked = yield* scripted(url, () => {})
          const fiber = yield* Effect.forkDetach(Effect.flip(discard(url, 1)))
          while (asked.length === 0) yield* Effect.sleep("10 millis")
          return fiber
        })
      )
      expect((yield* Fiber.join(waiting))._tag).toBe("AnswerLost")
    })
  )
})

describe.each(["sqlite", "csv"] as const)("the standing of a %s store", (scheme) => {
  it.live.each<[string, (peer: Socket, asked: Asked) => void]>([
    ["does not answer", () => {}],
    ["breaks the connection", (peer) => peer.destroy()],
    ["answers something else", (peer, asked) => peer.write(answerTo(asked, { bets: 3 }))],
    ["has no answer", (peer, asked) => peer.write(defectTo(asked, "Unknown request tag"))],
    ["answers that it is too large", (peer, asked) => peer.write(answerTo(asked, null))]
  ])("is unknown if the server %s", ([_what, obey]) =>
    Effect.gen(function* () {
      const url = yield* filled(scheme)
      yield* hold(url)
      const asked = yield* scripted(url, obey)
      const standing = yield* ControlClient.standing(url, "default")
      expect(standing).toEqual(Option.none())
      expect(asked).toHaveLength(1)
    })
  )

  it.live("is unknown without a server, and without a store", () =>
    Effect.gen(function* () {
      for (const url of [yield* filled(scheme), yield* newUrl(scheme)]) {
        expect(yield* ControlClient.standing(url, "default")).toEqual(Option.none())
      }
    })
  )
})
