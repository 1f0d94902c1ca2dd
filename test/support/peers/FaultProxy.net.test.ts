/**
 * Goal: the proxy applies and counts each fault, and none once it is calm. Method: one fault at a
 * time, at every chunk, between scripted peers.
 */
import * as Net from "node:net"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import { FAULTS, type Fault, makeFaultProxy, type Probabilities } from "./FaultProxy.ts"
import * as RawPeer from "./RawPeer.ts"

const NEVER = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Probabilities
const always = (fault: Fault): Probabilities => ({ ...NEVER, [fault]: 1 })

/** What a target received on one connection. */
interface Heard {
  text: string
  pieces: number
  ended: boolean
  closed: boolean
}

/** A target that answers every piece with as many dots and ends when the client does. */
const listen = Effect.gen(function* () {
  const connections: Array<Heard> = []
  const sockets: Array<Net.Socket> = []
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        const heard: Heard = { text: "", pieces: 0, ended: false, closed: false }
        connections.push(heard)
        sockets.push(socket)
        socket.on("error", () => {})
        socket.on("data", (chunk: Buffer) => {
          heard.text += chunk.toString()
          heard.pieces++
          socket.write(".".repeat(chunk.length))
        })
        socket.on("end", () => {
          heard.ended = true
          socket.end("!")
        })
        socket.on("close", () => {
          heard.closed = true
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  )
  return { port: (server.address() as Net.AddressInfo).port, connections }
})

const prepare = Effect.fnUntraced(function* (probabilities: Probabilities, seed = "test") {
  const target = yield* listen
  const proxy = yield* makeFaultProxy({ target: target.port, seed, probabilities })
  return { proxy, heard: target.connections, client: yield* RawPeer.connect(proxy.port) }
})

const bytes = (text: string): Buffer => Buffer.from(text)
const TEXT = "0123456789".repeat(20)

const becomes = (value: () => unknown, expected: unknown) =>
  Effect.promise(() => expect.poll(value, { timeout: 10_000 }).toEqual(expected))

for (const fault of ["delay", "split", "stall", "merge"] as const) {
  it.live(`forwards all bytes in order, and FIN, with a ${fault}`, () =>
    Effect.gen(function* () {
      const { client, heard, proxy } = yield* prepare(always(fault))
      yield* client.send(bytes(TEXT))
      expect(String(yield* client.receive(TEXT.length))).toBe(".".repeat(TEXT.length))
      yield* client.halfClose
      expect(String(yield* client.rest)).toBe("!")
      yield* becomes(() => heard[0]!.closed, true)
      expect(heard[0]!.text).toBe(TEXT)
      // A merge without further data counts as a delay.
      expect(proxy.counts()[fault === "merge" ? "delay" : fault]).toBeGreaterThan(0)
    })
  )
}

it.live("splits a chunk into many pieces", () =>
  Effect.gen(function* () {
    const { client, heard } = yield* prepare(always("split"))
    yield* client.send(bytes(TEXT))
    yield* client.receive(TEXT.length)
    expect(heard[0]!.pieces).toBeGreaterThan(TEXT.length / 4)
  })
)

it.live("merges successive chunks", () =>
  Effect.gen(function* () {
    const { client, heard, proxy } = yield* prepare(always("merge"))
    let sent = ""
    while (proxy.counts().merge === 0) {
      yield* client.send(bytes("ab"))
      sent += "ab"
      yield* Effect.sleep("1 millis")
    }
    yield* client.receive(sent.length)
    expect(heard[0]!.text).toBe(sent)
    expect(heard[0]!.pieces).toBeLessThan(sent.length / 2)
  })
)

it.live("drops all bytes of a direction and resets both sides later", () =>
  Effect.gen(function* () {
    const { client, heard, proxy } = yield* prepare(always("drop"))
    yield* client.send(bytes(TEXT))
    expect(String(yield* client.rest)).toBe("")
    yield* becomes(() => heard[0]?.closed, true)
    expect(heard[0]).toMatchObject({ text: "", ended: false })
    expect(proxy.counts().drop).toBeGreaterThan(0)
  })
)

it.live("ends one direction in the middle while the other continues", () =>
  Effect.gen(function* () {
    // With this seed the fault affects the client's first chunk but no answer.
    const { client, heard, proxy } = yield* prepare({ ...NEVER, halfClose: 0.1 }, "half 55")
    yield* client.send(bytes(TEXT))
    const answer = String(yield* client.rest)
    expect(heard[0]).toMatchObject({ ended: true })
    expect(TEXT.startsWith(heard[0]!.text)).toBe(true)
    expect(heard[0]!.text.length).toBeLessThan(TEXT.length)
    expect(answer).toBe(`${".".repeat(heard[0]!.text.length)}!`)
    expect(proxy.counts().halfClose).toBe(1)
  })
)

it.live("resets both sides", () =>
  Effect.gen(function* () {
    const { client, heard, proxy } = yield* prepare(always("reset"))
    yield* client.send(bytes(TEXT))
    expect(TEXT.length).toBeGreaterThan((yield* client.rest).length)
    yield* becomes(() => heard[0]?.closed, true)
    expect(heard[0]!.ended).toBe(false)
    expect(proxy.counts().reset).toBe(1)
  })
)

it.live("repeats everything from the client on another connection, which then ends", () =>
  Effect.gen(function* () {
    const { client, heard, proxy } = yield* prepare(always("repeat"))
    yield* client.send(bytes("first"))
    yield* client.receive(5)
    yield* client.send(bytes("second"))
    expect(String(yield* client.receive(6))).toBe("......")
    yield* becomes(() => heard.filter(({ closed }) => closed).length >= 2, true)
    expect(heard[0]).toMatchObject({ text: "firstsecond", closed: false })
    const repeated = heard.slice(1).map(({ text }) => text)
    expect(repeated).toContain("first")
    expect(repeated).toContain("firstsecond")
    expect(proxy.counts().repeat).toBeGreaterThanOrEqual(2)
    expect(proxy.connections()).toBe(1)
  })
)

it.live("when calm, releases stalled data and causes no more faults", () =>
  Effect.gen(function* () {
    const { client, heard, proxy } = yield* prepare(always("stall"))
    yield* client.send(bytes(TEXT))
    yield* becomes(() => proxy.counts().stall > 0, true)
    yield* proxy.calm
    const counts = proxy.counts()
    yield* client.receive(TEXT.length)
    const another = yield* RawPeer.connect(proxy.port)
    yield* another.send(bytes(TEXT))
    yield* another.receive(TEXT.length)
    expect(heard.map(({ text }) => text)).toEqual([TEXT, TEXT])
    expect(proxy.counts()).toEqual(counts)
  })
)

it.live("when calm, resets dropped connections", () =>
  Effect.gen(function* () {
    const { client, proxy } = yield* prepare(always("drop"))
    yield* client.send(bytes(TEXT))
    yield* becomes(() => proxy.counts().drop > 0, true)
    yield* proxy.calm
    expect(String(yield* client.rest)).toBe("")
  })
)

it.live("does the same with the same seed", () =>
  Effect.gen(function* () {
    const mix = { ...NEVER, delay: 0.3, split: 0.3 }
    const play = Effect.fnUntraced(function* (seed: string) {
      const { client, proxy } = yield* prepare(mix, seed)
      const counts: Array<number> = []
      // Waiting for each answer makes each byte one chunk.
      for (let byte = 0; byte < 30; byte++) {
        yield* client.send(bytes("x"))
        yield* client.receive(1)
        counts.push(proxy.counts().delay, proxy.counts().split)
      }
      return counts
    }, Effect.scoped)
    const first = yield* play("one")
    expect(yield* play("one")).toEqual(first)
    expect(yield* play("other")).not.toEqual(first)
  })
)
