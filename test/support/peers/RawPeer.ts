/** A scripted peer on a plain TCP socket. */
import * as Net from "node:net"
import { Data, Effect, type Scope } from "effect"

/** The peer did not receive what it expected. */
export class NotHeard extends Data.TaggedError("NotHeard")<{ readonly message: string }> {}

export interface RawPeer {
  readonly send: (bytes: Uint8Array) => Effect.Effect<void>
  /** Sends byte by byte, each in its own segment if the kernel permits. */
  readonly drip: (bytes: Uint8Array) => Effect.Effect<void>
  /** Sends FIN. */
  readonly halfClose: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  readonly receive: (count: number) => Effect.Effect<Buffer, NotHeard>
  /** Receives the next native control message. */
  readonly control: Effect.Effect<Record<string, unknown>, NotHeard>
  /** Waits until the server has closed, and returns all remaining bytes. */
  readonly rest: Effect.Effect<Buffer, NotHeard>
  /** Stops reading until `resume`. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** How many bytes the system has not accepted yet because the server does not read. */
  readonly unsent: () => number
  /** How many bytes arrived but were not received. */
  readonly unheard: () => number
}

export interface Options {
  /** The local address to connect from. */
  readonly from?: string | undefined
}

const PATIENCE = "20 seconds"

/** Connects to a local port; the connection closes with the scope. */
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
