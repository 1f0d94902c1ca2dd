/**
 * Goal: the proxy of the tests is one that a client and a server do not notice, but for the answers
 * that a test has it lose. Method: scripted peers on both sides of it.
 */
import * as Net from "node:net"
import { it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { expect } from "vitest"
import * as RawPeer from "./RawPeer.ts"
import { makeProxy } from "./TcpProxy.ts"

const bytes = (text: string): Buffer => Buffer.from(text)

/** Gives these numbers over and over. */
const cycle = (...numbers: ReadonlyArray<number>) => {
  let index = 0
  return () => numbers[index++ % numbers.length]!
}

/** Listens until the scope closes; gives the connections that it took. */
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

/** Answers all that came with its name before it, once the client has said that this was all. */
const politeServer = (name: string) => {
  const answer = (socket: Net.Socket): void => {
    const chunks = [bytes(name)]
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("end", () => socket.end(Buffer.concat(chunks)))
  }
  return Effect.map(listen(answer), ({ port }) => port)
}

/** A server that closes where the client does, and tells how many have. */
const closingServer = Effect.gen(function* () {
  const { port, sockets } = yield* listen((socket) => {
    socket.on("error", () => {}).on("end", () => socket.end())
    socket.resume()
  })
  return { port, sockets, closed: () => sockets.filter((socket) => socket.closed).length }
})

/** Waits until a test's own count is so high. */
const reaches = (count: () => number, expected: number) =>
  Effect.promise(() => expect.poll(count).toBe(expected))

/** A port that nobody listens on. */
const closedPort = Effect.scoped(politeServer("gone"))

/** All that a client is answered to a text. */
const ask = Effect.fnUntraced(function* (port: number, text: Uint8Array) {
  const client = yield* RawPeer.connect(port)
  yield* client.send(text)
  yield* client.halfClose
  return yield* client.rest
}, Effect.scoped)

it.live("passes on all bytes both ways, and the end of one direction as that", () =>
  Effect.gen(function* () {
    const target = yield* politeServer("polite ")
    const proxy = yield* makeProxy({ targets: () => [target], random: cycle(0) })
    // More than fits into any buffer on the way.
    const text = Buffer.alloc(8_000_000, "0123456789abcdef!")
    const answer = yield* ask(proxy.port, text)
    expect(answer.equals(Buffer.concat([bytes("polite "), text]))).toBe(true)
  })
)

it.live("chooses a target at random for each connection, of those that there are then", () =>
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

it.live("tries the others where one refuses, and closes where all do", () =>
  Effect.gen(function* () {
    const closed = yield* closedPort
    const targets = [closed, yield* politeServer("here ")]
    const proxy = yield* makeProxy({ targets: () => targets, random: cycle(0) })
    expect(String(yield* ask(proxy.port, bytes("?")))).toBe("here ?")
    targets.pop()
    expect(String(yield* ask(proxy.port, bytes("?")))).toBe("")
  })
)

it.live("breaks one side where the other breaks", () =>
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

it.live("loses the answers that it is told to", () =>
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
      // Each comes in a chunk of its own.
      yield* reaches(() => heard.length, said.indexOf(text) + 1)
    }
    expect(String(yield* client.receive(10))).toBe("firstthird")
    expect(heard).toEqual(["1: first", "1: lost", "1: third"])
  })
)

it.live("breaks both sides in place of an answer", () =>
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

it.live("breaks what is connected with its scope, and listens no longer", () =>
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
