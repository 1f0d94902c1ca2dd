/**
 * Goal: writes to a closed connection fail without waiting, and reads wait for room. Method: real
 * sockets with a peer that sends everything at once.
 */
import * as Net from "node:net"
import { it } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { expect } from "vitest"
import * as PeerConnection from "../../src/protocol/PeerConnection.ts"

/** Connects to a server in this process, which sends `text` and discards what it receives. */
const connect = Effect.fnUntraced(function* (text = "") {
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const listening = Net.createServer((socket) =>
        socket
          .on("error", () => {})
          .resume()
          .write(text)
      )
      listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
    }),
    (listening) => Effect.sync(() => listening.close())
  )
  const { port } = server.address() as Net.AddressInfo
  return yield* Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      const net = Net.connect({ host: "127.0.0.1", port }, () => resume(Effect.succeed(net)))
      net.on("error", () => {})
    }),
    (net) => Effect.sync(() => net.destroy())
  )
})

it.live("a destroyed connection is lost at once and refuses writes", () =>
  Effect.gen(function* () {
    const net = yield* connect()
    const { lost, write } = yield* PeerConnection.make(net)
    yield* write(Buffer.from("hello"))
    net.destroy()
    yield* Effect.callback<void>((resume) => {
      net.once("close", () => resume(Effect.void))
    })
    for (const after of [lost, write(Buffer.from("hello"))]) {
      const outcome = yield* Effect.timeout(Effect.flip(after), "20 seconds")
      expect(outcome._tag).toBe("ConnectionLost")
    }
  })
)

it.live("a run is not read until there is room up to its end", () =>
  Effect.gen(function* () {
    const net = yield* connect("0123456789")
    const open = yield* Latch.make()
    const asked: Array<number> = []
    const { reader } = yield* PeerConnection.make(net, (end) => {
      asked.push(end)
      return open.await
    })
    const reading = yield* Effect.forkChild(reader.take(4), { startImmediately: true })
    yield* Effect.sleep("50 millis")
    expect([reading.pollUnsafe(), reader.position(), asked]).toEqual([undefined, 0, [4]])
    yield* open.open
    expect(Buffer.from(yield* Fiber.join(reading)).toString()).toBe("0123")
    expect(reader.position()).toBe(4)
    yield* Effect.forkChild(reader.take(100), { startImmediately: true })
    expect(asked.at(-1)).toBe(104)
  })
)
