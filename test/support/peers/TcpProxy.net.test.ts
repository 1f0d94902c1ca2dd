/**
 * Goal: the proxy forwards everything except the answers that a test drops. Method: scripted
 * peers on both sides.
 */
import * as Net from "node:net"
import { it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { expect } from "vitest"
import * as RawPeer from "./RawPeer.ts"
import { makeProxy } from "./TcpProxy.ts"

const bytes = (text: string): Buffer => Buffer.from(text)

/** Returns a function that cycles through these numbers. */
const cycle = (...numbers: ReadonlyArray<number>) => {
  let index = 0
  return () => numbers[index++ % numbers.length]!
}

/** Listens until the scope closes; returns the accepted connections. */
const listen = Effect.fnUntraced(function* (onSocket: (socket: Net.Socket) => void) {
  const sockets: Array<Net.Socket> = []
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
        sockets.push(socket)
        onSocket(socket)
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  )
  return { port: (server.address() as Net.AddressInfo).port, sockets }
})

/** A server that answers, after the client's FIN, with its name and everything received. */
const politeServer = (name: string) => {
  const answer = (socket: Net.Socket): void => {
    const chunks = [bytes(name)]
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("end", () => socket.end(Buffer.concat(chunks)))
  }
  return Effect.map(listen(answer), ({ port }) => port)
}

/** A server that closes when the client does and counts closed connections. */
const closingServer = Effect.gen(function* () {
  const { port, sockets } = yield* listen((socket) => {
    socket.on("error", () => {}).on("end", () => socket.end())
    socket.resume()
  })
  return { port, sockets, closed: () => sockets.filter((socket) => socket.closed).length }
})

/** Waits until a count is at least this high. */
const reaches = (count: () => number, expected: number) =>
  Effect.promise(() => expect.poll(count).toBe(expected))

/** A port without a listener. */
const closedPort = Effect.scoped(politeServer("gone"))

/** Sends a text and returns the whole answer. */
const ask = Effect.fnUntraced(function* (port: number, text: Uint8Array) {
  const client = yield* RawPeer.connect(port)
  yield* client.send(text)
  yield* client.halfClose
  return yield* client.rest
}, Effect.scoped)

it.live("forwards all bytes both ways, and FIN separately for each direction", () =>
  Effect.gen(function* () {
    const target = yield* politeServer("polite ")
    const proxy = yield* makeProxy({ targets: () => [target], random: cycle(0) })
    // Larger than all buffers along the way.
    const text = Buffer.alloc(8_000_000, "0123456789abcdef!")
    const answer = yield* ask(proxy.port, text)
    expect(answer.equals(Buffer.concat([bytes("polite "), text]))).toBe(true)
  })
)

it.live("chooses a random target for each connection among the current ones", () =>
  Effect.gen(function* () {
    const targets = [yield* politeServer("one "), yield* politeServer("two ")]
    const random = cycle(0.9, 0, 0.1, 0)
    const proxy = yield* makeProxy({ targets: () => targets, random })
    const answers = [yield* ask(proxy.port, bytes("?")), yield* ask(proxy.port, bytes("?"))]
    targets.splice(0, 2, yield* politeServer("three "))
    answers.push(yield* ask(proxy.port, bytes("?")))
    expect(answers.map(String)).toEqual(["two ?", "one ?", "three ?"])
    expect(proxy.connections()).toBe(3)
  })
)

it.live("tries other targets if one refuses, and closes if all do", () =>
  Effect.gen(function* () {
    const closed = yield* closedPort
    const targets = [closed, yield* politeServer("here ")]
    const proxy = yield* makeProxy({ targets: () => targets, random: cycle(0) })
    expect(String(yield* ask(proxy.port, bytes("?")))).toBe("here ?")
    targets.pop()
    expect(String(yield* ask(proxy.port, bytes("?")))).toBe("")
  })
)

it.live("breaks one side if the other breaks", () =>
  Effect.gen(function* () {
    const server = yield* closingServer
    const proxy = yield* makeProxy({ targets: () => [server.port], random: cycle(0) })
    const [one, other] = [yield* RawPeer.connect(proxy.port), yield* RawPeer.connect(proxy.port)]
    yield* reaches(() => server.sockets.length, 2)
    yield* one.reset
    yield* reaches(server.closed, 1)
    for (const socket of server.sockets) socket.resetAndDestroy()
    expect(yield* other.rest).toEqual(bytes(""))
  })
)

it.live("loses the answers that onAnswer drops", () =>
  Effect.gen(function* () {
    const heard: Array<string> = []
    const onAnswer = (chunk: Uint8Array, connection: number) => {
      heard.push(`${connection}: ${chunk}`)
      return String(chunk) === "lost" ? "drop" : "pass"
    }
    const server = yield* closingServer
    const proxy = yield* makeProxy({ targets: () => [server.port], random: cycle(0), onAnswer })
    const client = yield* RawPeer.connect(proxy.port)
    yield* reaches(() => server.sockets.length, 1)
    const said = ["first", "lost", "third"]
    for (const text of said) {
      server.sockets[0]!.write(text)
      // Each arrives in its own chunk.
      yield* reaches(() => heard.length, said.indexOf(text) + 1)
    }
    expect(String(yield* client.receive(10))).toBe("firstthird")
    expect(heard).toEqual(["1: first", "1: lost", "1: third"])
  })
)

it.live("breaks both sides instead of forwarding an answer", () =>
  Effect.gen(function* () {
    const server = yield* closingServer
    const onAnswer = (chunk: Uint8Array) => (String(chunk) === "cut" ? "cut" : "pass")
    const proxy = yield* makeProxy({ targets: () => [server.port], random: cycle(0), onAnswer })
    const client = yield* RawPeer.connect(proxy.port)
    yield* reaches(() => server.sockets.length, 1)
    server.sockets[0]!.write("first")
    expect(String(yield* client.receive(5))).toBe("first")
    server.sockets[0]!.write("cut")
    expect(String(yield* client.rest)).toBe("")
    yield* reaches(server.closed, 1)
  })
)

it.live("breaks its connections and stops listening when its scope closes", () =>
  Effect.gen(function* () {
    const server = yield* closingServer
    const scope = yield* Scope.make()
    const proxy = yield* Scope.provide(
      makeProxy({ targets: () => [server.port], random: cycle(0) }),
      scope
    )
    const client = yield* RawPeer.connect(proxy.port)
    yield* reaches(() => server.sockets.length, 1)
    yield* Scope.close(scope, Exit.void)
    expect(yield* client.rest).toEqual(bytes(""))
    yield* reaches(server.closed, 1)
    const { message } = yield* Effect.flip(RawPeer.connect(proxy.port))
    expect(message).toContain("ECONNREFUSED")
  })
)
