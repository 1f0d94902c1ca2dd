/** Goal: a socket reads what is sent while it may, and what it stopped by itself stays stopped. */
import * as Net from "node:net"
import { it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { expect } from "vitest"
import { inletOf } from "../../../src/server/admission/Gate.ts"

/** A connection within this process: the end that is read, which nobody takes bytes from. */
const connect = Effect.gen(function* () {
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const listening = Net.createServer().listen(0, "127.0.0.1", () =>
        resume(Effect.succeed(listening))
      )
    }),
    (listening) => Effect.sync(() => listening.close())
  )
  const { port } = server.address() as Net.AddressInfo
  const peer = yield* Effect.acquireRelease(
    Effect.sync(() => Net.connect({ host: "127.0.0.1", port })),
    (socket) => Effect.sync(() => socket.destroy())
  )
  const socket = yield* Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      server.once("connection", (accepted) => resume(Effect.succeed(accepted)))
    }),
    (accepted) => Effect.sync(() => accepted.destroy())
  )
  socket.on("readable", () => {})
  return { peer, socket }
})

const until = (isSo: () => boolean) =>
  Effect.repeat(Effect.sync(isSo), { until: (so) => so, schedule: Schedule.spaced("2 millis") })

it.live("a socket is stopped and started, and not started where it has its buffer full", () =>
  Effect.gen(function* () {
    const { peer, socket } = yield* connect
    const inlet = inletOf(socket)
    inlet.stop()
    peer.write(Buffer.alloc(1000))
    yield* Effect.sleep("30 millis")
    expect(socket.bytesRead).toBe(0)
    inlet.start()
    yield* until(() => socket.bytesRead === 1000)
    peer.write(Buffer.alloc(1024 * 1024))
    yield* until(() => socket.readableLength >= socket.readableHighWaterMark)
    const full = socket.bytesRead
    inlet.stop()
    inlet.start()
    inlet.start()
    yield* Effect.sleep("30 millis")
    expect(socket.bytesRead).toBe(full)
  })
)
