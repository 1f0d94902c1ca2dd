/**
 * A TCP proxy of this machine: one port for several servers, as a balancer gives them one name. It
 * knows nothing of what it passes on; a test may have it lose what a server answers.
 */
import * as Net from "node:net"
import { Transform } from "node:stream"
import { Effect } from "effect"

/** "drop" swallows the chunk; "cut" destroys both sides in its place. */
export type Verdict = "pass" | "drop" | "cut"

export interface ProxyOptions {
  /** The ports behind this one; asked for at each connection, so that they may change. */
  readonly targets: () => ReadonlyArray<number>
  /** Gives numbers from 0 to 1, that excluded. With a seed a run can be repeated. */
  readonly random: () => number
  /** Judges what a target sends; connections are counted from 1. */
  readonly onAnswer?: (chunk: Uint8Array, connection: number) => Verdict
  /** Passes on what comes in place of the proxy, which then knows of connections only. */
  readonly join?: (client: Net.Socket, target: Net.Socket, connection: number) => void
}

export interface TcpProxy {
  readonly port: number
  /** How many connections came so far. */
  readonly connections: () => number
}

const HOST = "127.0.0.1"
/** One side's end is passed on to the other, and no more than it. */
const SOCKET = { allowHalfOpen: true, noDelay: true }

const shuffled = (ports: ReadonlyArray<number>, random: () => number): ReadonlyArray<number> => {
  const left = [...ports]
  return ports.map(() => left.splice(Math.floor(random() * left.length), 1)[0]!)
}

/** Passes on everything in both directions, until both have ended or one breaks. */
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

/** Listens on a free port until the scope closes, and then breaks what is still connected. */
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
        // Until there is a target, an error has nobody to be passed on to.
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
