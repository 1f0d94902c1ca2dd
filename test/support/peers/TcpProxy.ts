/** A local TCP proxy: one port for several servers, like a load balancer. It can lose answers. */
import * as Net from "node:net"
import { Transform } from "node:stream"
import { Effect } from "effect"

/** "drop" discards the chunk; "cut" discards it and destroys both sides. */
export type Verdict = "pass" | "drop" | "cut"

export interface ProxyOptions {
  /** The servers' ports, read at each connection. */
  readonly targets: () => ReadonlyArray<number>
  /** Returns numbers from 0 up to but not including 1. */
  readonly random: () => number
  /** Judges what a target sends. Connections are counted from 1. */
  readonly onAnswer?: (chunk: Uint8Array, connection: number) => Verdict
  /** Replaces the proxy's own forwarding. */
  readonly join?: (client: Net.Socket, target: Net.Socket, connection: number) => void
}

export interface TcpProxy {
  readonly port: number
  /** The number of connections so far. */
  readonly connections: () => number
}

const HOST = "127.0.0.1"
const SOCKET = { allowHalfOpen: true, noDelay: true }

const shuffled = (ports: ReadonlyArray<number>, random: () => number): ReadonlyArray<number> => {
  const left = [...ports]
  return ports.map(() => left.splice(Math.floor(random() * left.length), 1)[0]!)
}

/** Forwards data in both directions until both have ended or one breaks. */
const join = (client: Net.Socket, target: Net.Socket, judge: (chunk: Uint8Array) => Verdict) => {
  const cut = () => {
    client.destroy()
    target.destroy()
  }
  const answers = new Transform({
    transform: (chunk: Uint8Array, _encoding, done) => {
      const verdict = judge(chunk)
      if (verdict === "cut") cut()
      else done(null, verdict === "pass" ? chunk : undefined)
    }
  })
  client.on("error", cut)
  target.on("error", cut)
  client.pipe(target)
  target.pipe(answers).pipe(client)
}

/** Listens on a free port until the scope closes, which also breaks the open connections. */
export const makeProxy = Effect.fnUntraced(function* (options: ProxyOptions) {
  const sockets = new Set<Net.Socket>()
  let connections = 0

  const track = (socket: Net.Socket): Net.Socket => {
    sockets.add(socket)
    return socket.on("close", () => sockets.delete(socket))
  }

  /** Connects the client to the first of these ports that accepts. */
  const dial = (client: Net.Socket, connection: number, ports: ReadonlyArray<number>): void => {
    const [port, ...others] = ports
    if (port === undefined || client.destroyed) {
      client.destroy()
      return
    }
    const tryNext = () => dial(client, connection, others)
    const target = track(Net.connect({ host: HOST, port, ...SOCKET })).once("error", tryNext)
    target.once("connect", () => {
      target.off("error", tryNext)
      if (client.destroyed) target.destroy()
      else if (options.join !== undefined) options.join(client, target, connection)
      else join(client, target, (chunk) => options.onAnswer?.(chunk, connection) ?? "pass")
    })
  }

  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer(SOCKET, (client) => {
        // Before a target is connected, an error has no other side to break.
        track(client).on("error", () => client.destroy())
        dial(client, ++connections, shuffled(options.targets(), options.random))
      })
      server.listen(0, HOST, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { port, connections: () => connections } satisfies TcpProxy
})
