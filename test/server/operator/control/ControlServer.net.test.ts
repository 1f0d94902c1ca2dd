/**
 * Goal: a server executes each act once and answers it, whatever else is on its control socket.
 * Method: a lottery with a real store in this process, proper commands, and peers that misbehave.
 */
import { randomUUID } from "node:crypto"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Latch, Layer, Logger, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import { ActionLine } from "../../../../src/domain/ActionLog.ts"
import { Draw, fixedNumber } from "../../../../src/domain/Draw.ts"
import { Lottery } from "../../../../src/server/lottery/Lottery.ts"
import * as ControlClient from "../../../../src/server/operator/control/ControlClient.ts"
import * as ControlServer from "../../../../src/server/operator/control/ControlServer.ts"
import { ControlSocket } from "../../../../src/server/operator/control/ControlSocket.ts"
import { BetStore } from "../../../../src/server/store/BetStore.ts"
import { Disk, DiskError } from "../../../../src/server/store/embedded/Disk.ts"
import * as StoreUrl from "../../../../src/server/store/StoreUrl.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets } from "../../store/BetStore.conformance.ts"

const draw = new Draw({ id: "default", agencies: [1, 2], source: fixedNumber(7574) })

type Scheme = "sqlite" | "csv"

const urlIn = (folder: string, scheme: Scheme) => ({ _tag: scheme, path: join(folder, "store") })

type Store = BetStore["Service"]
type Flaw = (store: Store) => Store

/** What a server builds for its store, in two steps. */
const layers = (url: ReturnType<typeof urlIn>, served = draw, flaw: Flaw = (store) => store) => ({
  bound: Layer.provideMerge(ControlSocket.layer, StoreUrl.layerLock(url)),
  open: ControlServer.layer.pipe(
    Layer.provideMerge(Lottery.layer(served)),
    Layer.provideMerge(Layer.effect(BetStore, Effect.map(BetStore, flaw))),
    Layer.provide(StoreUrl.layerLocked("default"))
  )
})

/** Gathers the warnings and errors of the log, with their levels. */
const logging = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Debug" || logLevel === "Info") return
    for (const part of [message].flat()) {
      lines.push(`${logLevel} ${part instanceof ActionLine ? part.toString() : String(part)}`)
    }
  })
  return { lines, layer: Logger.layer([logger]) }
}

/** A server without ports, with one finished book. */
const serving = Effect.fnUntraced(function* (scheme: Scheme, served = draw, flaw?: Flaw) {
  const url = urlIn(yield* temporaryFolder, scheme)
  const { bound, open } = layers(url, served, flaw)
  const { layer, lines } = logging()
  const services = yield* Layer.build(open.pipe(Layer.provide(bound), Layer.provideMerge(layer)))
  const store = Context.get(services, BetStore)
  yield* store.append(1, 0, bets(1, 0, 7), { last: whole(bets(1, 0, 7)) })
  return { url, socket: `${url.path}.sock`, store, lottery: Context.get(services, Lottery), lines }
})

const discard = (url: StoreUrl.StoreUrl, agency: number, act: string = randomUUID()) =>
  ControlClient.act(url, "default", (control) => control.Discard({ draw: "default", agency, act }))

/** Connects a peer, which is destroyed with the scope. */
const peerOf = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const peer = connect(path, () => resume(Effect.succeed(peer)))
      peer.on("error", () => {})
    }),
    (peer) => Effect.sync(() => peer.destroy())
  )

const closeOf = (peer: Socket) =>
  Effect.callback<void>((resume) => {
    if (peer.closed) return resume(Effect.void)
    peer.resume()
    peer.once("close", () => resume(Effect.void))
  })

const until = (happened: () => boolean) =>
  Effect.gen(function* () {
    while (!happened()) yield* Effect.sleep("5 millis")
  }).pipe(Effect.timeout("20 seconds"))

describe.each(["sqlite", "csv"] as const)("the control server of a %s store", (scheme) => {
  it.live("executes, logs and answers an act, and the lottery takes notice", () =>
    Effect.gen(function* () {
      const { lines, lottery, store, url } = yield* serving(scheme)
      yield* lottery.lookAgain
      yield* until(() => lottery.standings.hasFinished(1))
      expect(yield* discard(url, 1)).toBe(7)
      expect((yield* store.progressOf(1)).bets).toBe(0)
      yield* until(() => !lottery.standings.hasFinished(1))
      expect(yield* discard(url, 1)).toBe(0)
      const line = "Warn action: book_discarded | result: success | agencia: 1 | cantidad:"
      expect(lines).toEqual([`${line} 7`, `${line} 0`])
    })
  )

  it.live("executes an act once, however often it is asked with the same id", () =>
    Effect.gen(function* () {
      const { lines, store, url } = yield* serving(scheme)
      const act = randomUUID()
      const answers = yield* Effect.all([discard(url, 1, act), discard(url, 1, act)], {
        concurrency: 2
      })
      expect(answers).toEqual([7, 7])
      yield* store.append(1, 0, bets(1, 9, 3))
      expect(yield* discard(url, 1, act)).toBe(7)
      expect((yield* store.progressOf(1)).bets).toBe(3)
      expect(lines.filter((line) => line.includes("result: success"))).toHaveLength(3)
    })
  )

  it.live("refuses an act for another draw, and one that comes too late, with the reason", () =>
    Effect.gen(function* () {
      const { lines, store, url } = yield* serving(scheme)
      const elsewhere = ControlClient.act(url, "monday", (control) =>
        control.Discard({ draw: "monday", agency: 1, act: randomUUID() })
      )
      expect(yield* Effect.flip(elsewhere)).toMatchObject({
        code: "WrongDraw",
        message: "the server that has the store open serves the draw default, not monday"
      })
      yield* store.finish(2, 0, whole())
      yield* store.recordNumber(7574)
      yield* store.recordDraw
      const held = "the draw default has been held: the book of agency 1 cannot be discarded"
      expect(yield* Effect.flip(discard(url, 1))).toMatchObject({
        code: "BookKept",
        message: held
      })
      expect((yield* store.progressOf(1)).bets).toBe(7)
      expect(lines).toHaveLength(2)
      expect(lines[1]).toBe(
        `Warn action: book_discarded | result: fail | agencia: 1 | error: ${held}`
      )
    })
  )

  it.live("answers how far its draw has got, and does not log it", () =>
    Effect.gen(function* () {
      const { lines, lottery, url } = yield* serving(scheme)
      yield* lottery.lookAgain
      const found = Option.getOrThrow(yield* ControlClient.standing(url, "default"))
      expect(found).toMatchObject({
        draw: { id: "default", agencies: [1, 2], phase: "taking bets" },
        agencies: [
          { agency: 1, bets: 7, state: "finished" },
          { agency: 2, bets: 0, state: "away", connections: 0 }
        ]
      })
      expect(yield* ControlClient.standing(url, "monday")).toEqual(Option.none())
      expect(lines).toEqual([])
    })
  )

  it.live.each<[number, boolean]>([
    [10_000, true],
    [10_001, false]
  ])("of %i agencies answers how far the draw has got: %s", ([count, isAnswered]) =>
    Effect.gen(function* () {
      const [first, ...others] = Array.from({ length: count }, (_, index) => index + 1)
      const served = new Draw({ ...draw, agencies: [first!, ...others] })
      const { url } = yield* serving(scheme, served)
      const found = yield* ControlClient.standing(url, "default")
      expect(Option.map(found, ({ agencies }) => agencies.length)).toEqual(
        isAnswered ? Option.some(count) : Option.none()
      )
    })
  )

  it.live("lets commands wait that come before the store is open", () =>
    Effect.gen(function* () {
      const url = urlIn(yield* temporaryFolder, scheme)
      const { bound, open } = layers(url)
      const early = yield* Layer.build(bound)
      const waiting = yield* Effect.forkScoped(discard(url, 1))
      yield* Effect.sleep("300 millis")
      expect(waiting.pollUnsafe()).toBeUndefined()
      const ready = Layer.provide(open, Layer.succeedContext(early))
      yield* Layer.build(Layer.provide(ready, logging().layer))
      expect(yield* Fiber.join(waiting)).toBe(0)
    })
  )

  it.live("does not execute the act of a command that went away before", () =>
    Effect.gen(function* () {
      const url = urlIn(yield* temporaryFolder, scheme)
      const { bound, open } = layers(url)
      const early = yield* Layer.build(bound)
      const waiting = yield* Effect.forkScoped(discard(url, 1))
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(waiting)
      const { layer, lines } = logging()
      yield* Layer.build(
        open.pipe(Layer.provide(Layer.succeedContext(early)), Layer.provide(layer))
      )
      expect(yield* discard(url, 2)).toBe(0)
      expect(lines).toHaveLength(1)
    })
  )
})

/** Advances the test clock and lets what happens on the sockets happen. */
const advance = (seconds: number) =>
  Effect.forEach(Array.from({ length: seconds }), () =>
    Effect.andThen(
      TestClock.adjust("1 second"),
      Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 5)))
    )
  )

it.live("a discard that fails halfway is answered, and the lottery takes notice", () =>
  Effect.gen(function* () {
    const disk = yield* Disk
    const full = new DiskError({ operation: "rename", code: "ENOSPC", reason: "full" })
    const rename: Disk["rename"] = (from, to) =>
      to.endsWith("store") ? Effect.fail(full) : disk.rename(from, to)
    const { lines, lottery, store, url } = yield* serving("csv").pipe(
      Effect.provideService(Disk, { ...disk, rename })
    )
    yield* lottery.lookAgain
    yield* until(() => lottery.standings.hasFinished(1))
    expect(yield* Effect.flip(discard(url, 1))).toMatchObject({
      code: "StoreUnavailable",
      message: expect.stringContaining("the bets of agency 1 are still stored")
    })
    yield* until(() => !lottery.standings.hasFinished(1))
    expect((yield* store.progressOf(1)).bets).toBe(7)
    expect(lines).toEqual([expect.stringContaining("book_discarded | result: fail | agencia: 1")])
  })
)

const MANY = 100
const MIB = 1024 * 1024

/** Peers that misbehave, and whether the server disconnects them. */
const PEERS: Readonly<Record<string, readonly [(peer: Socket) => void, boolean]>> = {
  "sends garbage": [(peer) => peer.write(Buffer.alloc(1000, 0xff)), false],
  "sends lines that are no messages": [(peer) => peer.write('{\nnull\n"x"\n[]\n{"a":1}\n'), false],
  "sends a line without end": [(peer) => peer.write("x".repeat(2 * MIB)), true],
  "sends messages without end": [(peer) => peer.write('{"_tag":"Ping"}\n'.repeat(MIB / 8)), true],
  "sends an unknown act": [
    (peer) => peer.write('{"_tag":"Request","id":1,"tag":"Drop","payload":{},"headers":[]}\n'),
    false
  ],
  "sends an act with wrong fields": [
    (peer) => peer.write('{"_tag":"Request","id":1,"tag":"Discard","payload":{},"headers":[]}\n'),
    false
  ],
  "sends half an act and goes away": [
    (peer) => {
      peer.write('{"_tag":"Request","id":1,"tag":"Disc')
      peer.destroySoon()
    },
    true
  ],
  "closes at once": [(peer) => peer.end(), true],
  "says nothing": [() => {}, false]
}

describe("a peer on the control socket", () => {
  it.live.each(Object.entries(PEERS))("that %s disturbs nobody", ([, [misbehave, isClosed]]) =>
    Effect.gen(function* () {
      const { lines, socket, store, url } = yield* serving("sqlite")
      const peer = yield* peerOf(socket)
      misbehave(peer)
      if (isClosed) yield* closeOf(peer)
      yield* store.append(2, 0, bets(2, 0, 5))
      expect(yield* discard(url, 1)).toBe(7)
      expect((yield* store.progressOf(2)).bets).toBe(5)
      expect(lines).toEqual([expect.stringContaining("book_discarded")])
    })
  )

  it.live("cannot keep commands out with many connections", () =>
    Effect.gen(function* () {
      const { socket, url } = yield* serving("sqlite")
      const peers = yield* Effect.forEach(Array.from({ length: MANY }), () => peerOf(socket))
      expect(yield* discard(url, 1)).toBe(7)
      yield* until(() => peers.filter((peer) => !peer.closed).length < 16)
    })
  )

  it.live("gets no more than sixteen answers at once", () =>
    Effect.gen(function* () {
      const [isReleased, found] = [yield* Latch.make(true), { asked: 0 }]
      const countAsked = Effect.sync(() => {
        found.asked++
      })
      const flaw: Flaw = (store) => ({
        ...store,
        progress: countAsked.pipe(Effect.andThen(isReleased.await), Effect.andThen(store.progress))
      })
      const { socket } = yield* serving("sqlite", draw, flaw)
      yield* isReleased.close
      found.asked = 0
      const peer = yield* peerOf(socket)
      const ask = { _tag: "Request", tag: "Standing", payload: { draw: "default" }, headers: [] }
      for (let id = 1; id <= MANY; id++) peer.write(`${JSON.stringify({ ...ask, id: `${id}` })}\n`)
      yield* until(() => found.asked > 0)
      // The server reads in order.
      peer.write('{"_tag":"Ping"}\n')
      yield* Effect.callback<void>((resume) => {
        peer.once("data", () => resume(Effect.void))
      })
      expect(found.asked).toBe(16)
      yield* isReleased.open
      yield* until(() => found.asked === MANY)
    })
  )

  it.effect("is disconnected after thirty seconds in which it said nothing", () =>
    Effect.gen(function* () {
      const { socket } = yield* serving("csv")
      const silent = yield* peerOf(socket)
      yield* advance(29)
      silent.write('{"_tag":"Ping"}\n')
      yield* Effect.callback<void>((resume) => {
        silent.once("data", () => resume(Effect.void))
      })
      yield* advance(29)
      expect(silent.closed).toBe(false)
      yield* advance(2)
      yield* closeOf(silent)
    })
  )

  it.live("still gets the answer to an act that was under way when the server stopped", () =>
    Effect.gen(function* () {
      const disk = yield* Disk
      const renaming = yield* Latch.make()
      const rename: Disk["rename"] = (from, to) =>
        Effect.andThen(
          to.endsWith("store") ? renaming.open : Effect.void,
          disk.rename(from, to)
        ).pipe(Effect.delay("200 millis"))
      const scope = yield* Scope.make()
      const { lines, url } = yield* serving("csv").pipe(
        Effect.provideService(Disk, { ...disk, rename }),
        Scope.provide(scope)
      )
      const discarding = yield* Effect.forkScoped(discard(url, 1))
      yield* renaming.await
      yield* Scope.close(scope, Exit.void)
      // Had the answer been lost, the command would have found no book itself.
      expect(yield* Fiber.join(discarding)).toBe(7)
      expect(lines).toHaveLength(1)
    })
  )

  it.live("does not delay a stop", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { lines, socket, url } = yield* Scope.provide(serving("csv"), scope)
      const silent = yield* peerOf(socket)
      const unread = yield* peerOf(socket)
      const payload = { draw: "default", agency: 2, act: randomUUID() }
      const request = { _tag: "Request", tag: "Discard", payload, headers: [] }
      const requests = Array.from({ length: 4000 }, (_, id) => JSON.stringify({ ...request, id }))
      unread.pause().write(requests.join("\n"))
      expect(yield* discard(url, 1)).toBe(7)
      yield* Effect.timeout(Scope.close(scope, Exit.void), "2 seconds")
      yield* closeOf(silent)
      expect(lines.filter((line) => !line.startsWith("Warn"))).toEqual([])
    })
  )
})
