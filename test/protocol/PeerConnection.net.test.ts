/** Goal: what is said to a connection that is gone fails, and keeps nobody waiting. */
import * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import * as PeerConnection from "../../src/protocol/PeerConnection.ts"

/** Connects to a port of this process, where all that comes is forgotten. */
const connect = Effect.gen(function* () {
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const listening = Net.createServer((socket) => socket.on("error", () => {}).resume())
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

it.live("a connection that was destroyed is lost at once, and takes no more words", () =>
  Effect.gen(function* () {
    const net = yield* connect
    const socket = yield* NodeSocket.fromDuplex(Effect.succeed(net))
    const { lost, write } = yield* PeerConnection.make(socket, net)
    yield* write(Buffer.from("hello"))
    net.destroy()
    yield* Effect.callback<void>((resume) => {
      net.once("close", () => resume(Effect.void))
    })
    for (const after of [lost, write(Buffer.from("hello"))]) {
      const outcome = yield* Effect.timeout(Effect.flip(after), "2 seconds")
      expect(outcome._tag).toBe("ConnectionLost")
    }
  })
)
