/** The client's side of a connection: dialling it, in the clear or with TLS. */
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Effect, type Scope } from "effect"
import { loggedResource } from "../domain/LoggedResource.ts"
import * as ByteReader from "../protocol/ByteReader.ts"
import * as Peer from "../protocol/PeerConnection.ts"
import { beginsWithAlert } from "../protocol/TlsRecord.ts"
import {
  type ClientTls,
  type ConnectFailure,
  NotTrusted,
  type ServerAddress,
  TlsMismatch,
  Unreachable
} from "./ServerFailure.ts"

/** A connection to a server; on a plain one the server may turn out to speak TLS. */
export interface ServerConnection extends Omit<Peer.PeerConnection, "reader"> {
  readonly reader: ByteReader.ByteReader<Peer.ConnectionLost | TlsMismatch>
}

type Reader = ServerConnection["reader"]

/** The same bytes, with another way to wait for more of them. */
export const readThrough = (
  reader: Reader,
  arrived: Effect.Effect<void, Effect.Error<Reader["fill"]>>
): Reader =>
  ByteReader.make(
    Effect.flatMap(arrived, () =>
      Effect.map(reader.take(reader.buffered().length), (bytes) => [bytes])
    )
  )

/** The shortest answer of any dialect, and enough to tell an alert of TLS from it. */
const FIRST_BYTES = 2

/** The same bytes, unless a server that is spoken to in the clear begins with an alert of TLS. */
export const unlessTls = (reader: Reader, server: ServerAddress): Reader => {
  let isFirst = true
  return readThrough(
    reader,
    Effect.gen(function* () {
      if (!isFirst) return yield* reader.fill
      if (beginsWithAlert(yield* reader.peek(FIRST_BYTES)))
        return yield* new TlsMismatch({ server })
      isFirst = false
    })
  )
}

/** How long a server may take to accept a connection. */
const OPEN_TIMEOUT = "10 seconds"
const CLOSE_TIMEOUT = "1 second"
/** After this much silence the system asks whether the server's machine is still there. */
const KEEP_ALIVE_MILLIS = 30_000

/**
 * A name is also sent to the server, which may have a certificate for each of its names. Its check
 * is asked for, so that no variable of the environment turns it off.
 */
const dialTls = (options: Net.TcpNetConnectOpts, { ca, cert, key }: ClientTls) =>
  Tls.connect({
    ...options,
    ca,
    cert,
    key,
    rejectUnauthorized: true,
    servername: Net.isIP(options.host ?? "") === 0 ? options.host : undefined
  })

/** The codes of Node and OpenSSL for what is wrong with a certificate, or with TLS itself. */
const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL)|CERT|SIGNATURE|ISSUER|CRL|INVALID_(CA|PURPOSE)|PATH_LENGTH/

/** Those of them for a certificate that comes from no CA that is known. */
const NO_CA_CODE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY_LEAF|GET_ISSUER).*)$/

/** OpenSSL's code for a first answer that is not TLS, such as text. */
const NO_TLS_CODE = "ERR_SSL_WRONG_VERSION_NUMBER"

/** What an error of a connection means: a wrong certificate stays wrong when trying again. */
const toConnectFailure = (server: ServerAddress, error: Error): ConnectFailure => {
  const reason = Peer.systemReason(error)
  const code = "code" in error ? String(error.code) : ""
  if (code === NO_TLS_CODE) return new TlsMismatch({ server })
  if (NO_CA_CODE.test(code)) {
    const hint =
      server.tls?.ca === undefined
        ? "name the CA of the server's certificate with --tls-ca"
        : "the certificate does not come from the CA that --tls-ca names"
    // Node adds advice on itself.
    return new NotTrusted({ server, reason: `${reason.replace(/;.*/s, "")}; ${hint}` })
  }
  // OpenSSL's message has its own source's line in it, and its reason is what a person needs.
  const isOpenSsl = code.startsWith("ERR_SSL") && "reason" in error
  if (isOpenSsl) return new NotTrusted({ server, reason: String(error.reason) })
  if (TLS_CODE.test(code)) return new NotTrusted({ server, reason })
  const isShaking = server.tls !== undefined && code === "ECONNRESET"
  const hint = isShaking ? " in the TLS handshake; does the server speak TLS?" : ""
  return new Unreachable({ server, reason: `${reason}${hint}` })
}

/** A connection that is being dialled; closes with the scope. */
const dial = (server: ServerAddress) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const { host, port, tls } = server
        const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MILLIS }
        const options = { host, port, noDelay: true, ...keepAlive }
        const net = tls === undefined ? Net.createConnection(options) : dialTls(options, tls)
        // An error reaches the next read or write. Without a listener it would end the process.
        return net.on("error", () => {})
      },
      // Certificates that cannot be read are refused at once.
      catch: (error) =>
        toConnectFailure(server, error instanceof Error ? error : new Error(`${error}`))
    }),
    (net) => Effect.sync(() => (net.connecting ? net.destroy() : net.destroySoon()))
  )

/** Waits until a connection is open, with TLS once both sides have shaken hands. */
const opened = (net: Net.Socket, server: ServerAddress) =>
  Effect.callback<void, ConnectFailure>((resume) => {
    const isOpen = server.tls === undefined ? "connect" : "secureConnect"
    net.once(isOpen, () => resume(Effect.void))
    net.once("error", (error) => resume(Effect.fail(toConnectFailure(server, error))))
  }).pipe(
    Effect.timeoutOrElse({
      duration: OPEN_TIMEOUT,
      orElse: () => Effect.fail(new Unreachable({ server, reason: `not in ${OPEN_TIMEOUT}` }))
    })
  )

/** Connects without a word in the log; closes with the scope. */
export const open = Effect.fnUntraced(function* (
  server: ServerAddress
): Effect.fn.Return<ServerConnection, ConnectFailure, Scope.Scope> {
  const net = yield* dial(server)
  yield* opened(net, server)
  const socket = yield* NodeSocket.fromDuplex(Effect.succeed(net))
  const connection = yield* Effect.mapError(
    Peer.make(socket, net),
    ({ reason }) => new Unreachable({ server, reason })
  )
  if (server.tls !== undefined) return connection
  return { ...connection, reader: unlessTls(connection.reader, server) }
})

/** Connects; closes with the scope, which the log says. */
export const connect = (server: ServerAddress) =>
  loggedResource("connection", open(server), CLOSE_TIMEOUT)
