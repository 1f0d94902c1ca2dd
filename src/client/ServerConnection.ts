/** Opens client connections, plain or with TLS. */
import * as Net from "node:net"
import * as Tls from "node:tls"
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

/** A connection to a server. On a plain connection the server may turn out to use TLS. */
export interface ServerConnection extends Omit<Peer.PeerConnection, "reader"> {
  readonly reader: ByteReader.ByteReader<Peer.ConnectionLost | TlsMismatch>
}

type Reader = ServerConnection["reader"]

/** Returns a reader of the same bytes that uses `arrived` to wait for more. */
export const readThrough = (
  reader: Reader,
  arrived: Effect.Effect<void, Effect.Error<Reader["fill"]>>
): Reader =>
  ByteReader.make(
    Effect.flatMap(arrived, () =>
      Effect.map(reader.take(reader.buffered().length), (bytes) => [bytes])
    )
  )

/** The length of the shortest answer in any dialect, which is enough to recognize a TLS alert. */
const FIRST_BYTES = 2

/** Returns a reader that fails with `TlsMismatch` if the first bytes are a TLS alert. */
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

const OPEN_TIMEOUT = "10 seconds"
const CLOSE_TIMEOUT = "1 second"
const KEEP_ALIVE_MILLIS = 30_000

/** Sends a host name as SNI. `rejectUnauthorized` overrides NODE_TLS_REJECT_UNAUTHORIZED. */
const dialTls = (options: Net.TcpNetConnectOpts, { ca, cert, key }: ClientTls) =>
  Tls.connect({
    ...options,
    ca,
    cert,
    key,
    rejectUnauthorized: true,
    servername: Net.isIP(options.host ?? "") === 0 ? options.host : undefined
  })

/** Node and OpenSSL error codes for a bad certificate or a TLS failure. */
const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL)|CERT|SIGNATURE|ISSUER|CRL|INVALID_(CA|PURPOSE)|PATH_LENGTH/

const UNKNOWN_CA_CODE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY_LEAF|GET_ISSUER).*)$/

/** OpenSSL's code if the first bytes received are not TLS. */
const NO_TLS_CODE = "ERR_SSL_WRONG_VERSION_NUMBER"

/** Converts a connection error. Certificate errors are not retried. */
const toConnectFailure = (server: ServerAddress, error: Error): ConnectFailure => {
  const reason = Peer.systemReason(error)
  const code = "code" in error ? String(error.code) : ""
  if (code === NO_TLS_CODE) return new TlsMismatch({ server })
  if (UNKNOWN_CA_CODE.test(code)) {
    const hint =
      server.tls?.ca === undefined
        ? "name the CA of the server's certificate with --tls-ca"
        : "the certificate was not issued by the CA in --tls-ca"
    // Node appends advice about its own options.
    return new NotTrusted({ server, reason: `${reason.replace(/;.*/s, "")}; ${hint}` })
  }
  // OpenSSL's message includes a line of its source code; `reason` is the readable part.
  const isOpenSsl = code.startsWith("ERR_SSL") && "reason" in error
  if (isOpenSsl) return new NotTrusted({ server, reason: String(error.reason) })
  if (TLS_CODE.test(code)) return new NotTrusted({ server, reason })
  const isShaking = server.tls !== undefined && code === "ECONNRESET"
  const hint = isShaking ? " during the TLS handshake; check that the server uses TLS" : ""
  return new Unreachable({ server, reason: `${reason}${hint}` })
}

/** Starts connecting; closes with the scope. */
const dial = (server: ServerAddress) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const { host, port, tls } = server
        const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MILLIS }
        const options = { host, port, noDelay: true, ...keepAlive }
        const net = tls === undefined ? Net.createConnection(options) : dialTls(options, tls)
        // The next read or write reports the error. Without a listener it would end the process.
        return net.on("error", () => {})
      },
      // `Tls.connect` throws if it cannot parse a certificate or key.
      catch: (error) =>
        toConnectFailure(server, error instanceof Error ? error : new Error(`${error}`))
    }),
    (net) => Effect.sync(() => (net.connecting ? net.destroy() : net.destroySoon()))
  )

/** Waits until the connection is open and, with TLS, the handshake is complete. */
const opened = (net: Net.Socket, server: ServerAddress) =>
  Effect.callback<void, ConnectFailure>((resume) => {
    const isOpen = server.tls === undefined ? "connect" : "secureConnect"
    net.once(isOpen, () => resume(Effect.void))
    net.once("error", (error) => resume(Effect.fail(toConnectFailure(server, error))))
  }).pipe(
    Effect.timeoutOrElse({
      duration: OPEN_TIMEOUT,
      orElse: () =>
        Effect.fail(new Unreachable({ server, reason: `timed out after ${OPEN_TIMEOUT}` }))
    })
  )

/** Connects without logging; closes with the scope. */
export const open = Effect.fnUntraced(function* (
  server: ServerAddress
): Effect.fn.Return<ServerConnection, ConnectFailure, Scope.Scope> {
  const net = yield* dial(server)
  yield* opened(net, server)
  const connection = yield* Peer.make(net)
  if (server.tls !== undefined) return connection
  return { ...connection, reader: unlessTls(connection.reader, server) }
})

/** Connects; closes with the scope. Logs both. */
export const connect = (server: ServerAddress) =>
  loggedResource("connection", open(server), CLOSE_TIMEOUT)
