/**
 * Goal: writes to a closed connection fail without waiting, and reads wait for room. Method: real
 * sockets with a peer that sends everything at once.
 */
import * as Net from "node:net"
import { it } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { expect } from "vitest"
import * as PeerConnection from "../../src/protocol/PeerConnection.ts"

/** Connects to a server in this process, which sends `text`, then what it receives if it echoes. */
const connect = Effect.fnUntraced(function* (text = "", echoes = false) {
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const listening = Net.createServer((socket) => {
        socket.on("error", () => {}).write(text)
        if (echoes) socket.pipe(socket)
        else socket.resume()
      })
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

it.live("a read may follow another at once, or before that one is interrupted", () =>
  Effect.gen(function* () {
    const net = yield* connect("", true)
    const { reader, write } = yield* PeerConnection.make(net)
    const ask = (text: string) =>
      Effect.andThen(
        write(Buffer.from(text)),
        Effect.map(reader.take(text.length), (bytes) => Buffer.from(bytes).toString())
      )
    const answers = Effect.timeout(Effect.forEach(["ab", "cd", "ef"], ask), "20 seconds")
    const interrupted = yield* Effect.forkChild(reader.fill, { startImmediately: true })
    const asking = yield* Effect.forkChild(answers, { startImmediately: true })
    yield* Fiber.interrupt(interrupted)
    expect(yield* Fiber.join(asking)).toEqual(["ab", "cd", "ef"])
  })
)

it.live("what is discarded is gone, and its end is noticed once", () =>
  Effect.gen(function* () {
    const net = yield* connect("0123456789", true)
    const { discard, reader, write, writeNow } = yield* PeerConnection.make(net)
    expect(Buffer.from(yield* reader.take(10)).toString()).toBe("0123456789")
    const endings: Array<string> = []
    const stop = discard(({ _tag }) => endings.push(_tag))
    expect(writeNow(Buffer.from("lost"))).toBe(true)
    yield* Effect.sleep("50 millis")
    stop()
    yield* write(Buffer.from("kept"))
    expect(Buffer.from(yield* reader.take(4)).toString()).toBe("kept")
    discard(({ _tag }) => endings.push(_tag))
    net.end()
    yield* Effect.callback<void>((resume) => {
      net.once("close", () => resume(Effect.void))
    })
    expect(endings).toEqual(["EndOfStream"])
    expect(writeNow(Buffer.from("late"))).toBe(false)
  })
)
