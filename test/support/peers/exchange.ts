/** Sends bytes to a server over a real socket and collects the answer. */
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Effect } from "effect"
import * as M from "./messages.ts"
import { NotHeard } from "./RawPeer.ts"

export interface Dialled {
  readonly port: number
  /** Without it the connection is plain. */
  readonly tls?: Tls.ConnectionOptions | undefined
  /** The local address to connect from. */
  readonly from?: string
}

const PATIENCE = "20 seconds"

/** Connects; the connection closes with the scope. */
export const dial = ({ from, port, tls }: Dialled) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket, NotHeard>((resume) => {
      const address = { host: "127.0.0.1", port, ...(from !== undefined && { localAddress: from }) }
      const socket = tls === undefined ? Net.connect(address) : Tls.connect({ ...address, ...tls })
      socket.once(tls === undefined ? "connect" : "secureConnect", () =>
        resume(Effect.succeed(socket))
      )
      socket.on("error", ({ message }) => resume(Effect.fail(new NotHeard({ message }))))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Returns everything received until the server closes. */
export const rest = (socket: Net.Socket) =>
  Effect.callback<Buffer, NotHeard>((resume) => {
    const heard: Array<Buffer> = []
    socket.on("data", (chunk: Buffer) => heard.push(chunk))
    socket.once("close", () => resume(Effect.succeed(Buffer.concat(heard))))
    if (socket.destroyed) resume(Effect.succeed(Buffer.alloc(0)))
  }).pipe(
    Effect.timeoutOrElse({
      duration: PATIENCE,
      orElse: () => Effect.fail(new NotHeard({ message: `not closed in ${PATIENCE}` }))
    })
  )

/** Sends bytes and returns everything received until the server closes. */
export const exchange = Effect.fnUntraced(function* (dialled: Dialled, bytes: Uint8Array) {
  const socket = yield* dial(dialled)
  socket.write(bytes)
  return yield* rest(socket)
}, Effect.scoped)

/** The document of each agency's only bet in `BOOKS`, which wins. */
export const documentOf = (agency: number): number => 10 * agency

const betsOf = (agency: number) => [M.fields(documentOf(agency), 7574)]

/** The preface and a Hello with additional keys. */
export const helloWith = (agency: number, more: object): Buffer =>
  Buffer.concat([M.PREFACE, M.controlFrame({ _tag: "Hello", draw: "default", agency, ...more })])

/** A whole book of one bet and a request for its winners, in each dialect. */
export const BOOKS = {
  native: (agency: number, token?: string) =>
    Buffer.concat([
      helloWith(agency, { token }),
      M.betsOf(0, betsOf(agency)),
      M.finishOf(betsOf(agency)),
      M.AWAIT_WINNERS
    ]),
  binary: (agency: number) =>
    Buffer.concat([M.packetOf(agency, betsOf(agency), false), M.packet(`${agency};`, false)]),
  json: (agency: number) =>
    Buffer.concat([M.chunkOf(agency, betsOf(agency), true), M.consultOf(agency)])
}

/** Extracts the winners from the answer to a whole book. */
export const winnersIn = {
  native: (answer: Buffer): unknown => M.controlsIn(answer).at(-1),
  binary: (answer: Buffer): unknown => answer.subarray(2).toString("latin1"),
  json: (answer: Buffer): unknown => M.readJson(answer.subarray(M.CHUNK_PROCESSED.length))
}

export const expectedWinners = (agency: number) => ({
  native: { _tag: "Winners", number: 7574, documents: [`${documentOf(agency)}`], more: false },
  binary: M.winnersOf(documentOf(agency)).toString("latin1"),
  json: { type_message: 2, payload: `${documentOf(agency)}` }
})

export type Dialect = keyof typeof BOOKS
export const DIALECTS: ReadonlyArray<Dialect> = ["native", "binary", "json"]
