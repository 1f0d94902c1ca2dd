/** A scripted peer on a plain TCP socket: says any bytes in any pieces, and hears the answer. */

import * as Net from "node:net"
import { Data, Effect, type Scope } from "effect"

/** The peer did not hear what it waited for. */
export class NotHeard extends Data.TaggedError("NotHeard")<{ readonly message: string }> {}

export interface RawPeer {
  readonly send: (bytes: Uint8Array) => Effect.Effect<void>
  /** Sends byte by byte, each in a segment of its own as far as the kernel lets it. */
  readonly drip: (bytes: Uint8Array) => Effect.Effect<void>
  /** Says that nothing more will come (FIN). */
  readonly halfClose: Effect.Effect<void>
  /** Resets the connection. */
  readonly reset: Effect.Effect<void>
  /** Waits for so many bytes. */
  readonly receive: (count: number) => Effect.Effect<Buffer, NotHeard>
  /** Waits for the next native control message, and gives what it says. */
  readonly control: Effect.Effect<Record<string, unknown>, NotHeard>
  /** Waits until the server has closed, and gives all that came and was not received. */
  readonly rest: Effect.Effect<Buffer, NotHeard>
  /** Reads nothing more, until it is told to read on. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** How many bytes the system has not taken yet, as the server does not read. */
  readonly unsent: () => number
  /** How many bytes came and were not received. */
  readonly unheard: () => number
}

export interface Options {
  /** An address of this machine that it comes from. */
  readonly from?: string | undefined
}

const PATIENCE = "10 seconds"

/** Connects to a port of this machine; the connection is destroyed with the scope. */
export const connect = Effect.fnUntraced(function* (
  port: number,
  { from = "127.0.0.1" }: Options = {}
): Effect.fn.Return<RawPeer, NotHeard, Scope.Scope> {
  const socket = yield* Effect.acquireRelease(
    Effect.callback<Net.Socket, NotHeard>((resume) => {
      const plain = { noDelay: true, allowHalfOpen: true }
      const socket = Net.connect({ host: "127.0.0.1", port, localAddress: from, ...plain })
      socket.once("connect", () => resume(Effect.succeed(socket)))
      socket.once("error", (error) => resume(Effect.fail(new NotHeard({ message: error.message }))))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
  let heard = Buffer.alloc(0)
  let closed = false
  let wake = () => {}
  socket.on("data", (chunk: Buffer) => {
    heard = Buffer.concat([heard, chunk])
    wake()
  })
  for (const event of ["end", "close", "error"]) {
    socket.on(event, () => {
      closed = true
      wake()
    })
  }
  const until = (ready: () => boolean, what: string): Effect.Effect<void, NotHeard> =>
    Effect.callback<void, NotHeard>((resume) => {
      wake = () => {
        if (ready()) resume(Effect.void)
        else if (closed) resume(Effect.fail(new NotHeard({ message: `closed before ${what}` })))
      }
      wake()
    }).pipe(
      Effect.timeoutOrElse({
        duration: PATIENCE,
        orElse: () =>
          Effect.fail(
            new NotHeard({ message: `no ${what} in ${PATIENCE}, got ${heard.length} bytes` })
          )
      })
    )
  const takeHeard = (count: number): Buffer => {
    const taken = heard.subarray(0, count)
    heard = heard.subarray(count)
    return taken
  }
  const send = (bytes: Uint8Array) =>
    Effect.callback<void>((resume) => {
      socket.write(bytes, () => resume(Effect.void))
    })
  const receive = (count: number) =>
    Effect.map(
      until(() => heard.length >= count, `${count} bytes`),
      () => takeHeard(count)
    )
  const control = Effect.gen(function* () {
    const length = (yield* receive(4)).readUInt32BE()
    const body = yield* receive(length)
    if (body[0] !== 1) return yield* new NotHeard({ message: `a frame of kind ${body[0]}` })
    return JSON.parse(body.subarray(1).toString()) as Record<string, unknown>
  })
  return {
    send,
    drip: (bytes) => Effect.forEach(bytes, (byte) => send(Uint8Array.of(byte)), { discard: true }),
    halfClose: Effect.sync(() => socket.end()),
    reset: Effect.sync(() => socket.resetAndDestroy()),
    receive,
    control,
    rest: Effect.map(
      until(() => closed, "close"),
      () => takeHeard(heard.length)
    ),
    pause: Effect.sync(() => socket.pause()),
    resume: Effect.sync(() => socket.resume()),
    unsent: () => socket.writableLength,
    unheard: () => heard.length
  }
})
