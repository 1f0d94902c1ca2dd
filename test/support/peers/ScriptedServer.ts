/** A scripted server on a plain TCP socket. */
import * as Net from "node:net"
import { Effect, Queue } from "effect"
import type { AgencyEnd } from "./AgencyEnd.ts"

const PATIENCE = "20 seconds"

const agencyEnd = (socket: Net.Socket): AgencyEnd => {
  let heard = Buffer.alloc(0)
  let wake = () => {}
  socket.on("data", (chunk: Buffer) => {
    heard = Buffer.concat([heard, chunk])
    wake()
  })
  const receive = (count: number) =>
    Effect.callback<Buffer>((resume) => {
      wake = () => {
        if (heard.length < count) return
        wake = () => {}
        resume(
          Effect.sync(() => {
            const taken = heard.subarray(0, count)
            heard = heard.subarray(count)
            return taken
          })
        )
      }
      wake()
    }).pipe(Effect.timeout(PATIENCE), Effect.orDie)
  return {
    receive,
    send: (bytes) =>
      Effect.callback<void>((resume) => {
        socket.write(bytes, () => resume(Effect.void))
      }),
    close: Effect.sync(() => socket.end()),
    reset: Effect.sync(() => socket.resetAndDestroy())
  }
}

export interface ScriptedServer {
  readonly port: number
  readonly accept: Effect.Effect<AgencyEnd>
}

/** Listens locally until the scope closes; for port 0 the system chooses one. */
export const listen = Effect.fnUntraced(function* (onPort = 0) {
  const accepted = yield* Queue.unbounded<Net.Socket>()
  const sockets = new Set<Net.Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
        sockets.add(socket)
        socket.on("error", () => socket.destroy())
        Queue.offerUnsafe(accepted, socket)
      })
      server.listen(onPort, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const accept = Queue.take(accepted).pipe(
    Effect.timeout(PATIENCE),
    Effect.orDie,
    Effect.map(agencyEnd)
  )
  return { port, accept } satisfies ScriptedServer
})
