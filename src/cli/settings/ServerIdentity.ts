/**
 * What `lottery server` proves itself with and asks of the agencies: settings that name files,
 * which are read at the start and anew at each SIGHUP. If they cannot be used then, what was read
 * before stays.
 */
import { Effect, type FileSystem, Option, Queue } from "effect"
import { CliError, type Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { FileUnavailable } from "../../domain/FileUnavailable.ts"
import { isLoopback } from "../../protocol/Loopback.ts"
import { type CredentialsUnusable, makeServerTls } from "../../server/admission/Certificates.ts"
import type { Identity } from "../../server/admission/Identity.ts"
import { parseTokens } from "../../server/admission/Tokens.ts"
import { pairOf, readAuthority, readPair } from "../files/PemFile.ts"
import { readText } from "../files/WholeFile.ts"
import { takeHangups } from "../process/Signals.ts"
import * as Setting from "./Setting.ts"

export const settings = {
  tlsCert: Setting.file("tls-cert", "Speak TLS on both ports, with this certificate (PEM)"),
  tlsKey: Setting.file("tls-key", "The private key of the server's certificate (PEM)"),
  tlsClientCa: Setting.file(
    "tls-client-ca",
    "Take agencies only with a certificate of this CA (PEM)"
  ),
  tokens: Setting.file(
    "tokens",
    "Take agencies only with their token: an agency and its token a line"
  )
}

type Given = Command.Command.Config.Infer<typeof settings>

const readTokens = Effect.fnUntraced(function* (file: string) {
  return yield* Effect.mapError(
    Effect.fromResult(parseTokens(yield* readText(file))),
    (reason) => new FileUnavailable({ file, reason })
  )
})

/** Runs `read` at each SIGHUP until the scope closes. */
const readAtHangups = Effect.fnUntraced(function* (
  read: Effect.Effect<void, FileUnavailable, FileSystem.FileSystem>
) {
  const hangups = yield* Queue.sliding<void>(1)
  takeHangups(() => Queue.offerUnsafe(hangups, undefined))
  yield* Queue.take(hangups).pipe(
    Effect.andThen(logAction("signal_received", "success", { signal: "SIGHUP" })),
    Effect.andThen(read),
    Effect.andThen(logAction("read_credentials", "success")),
    Effect.catch(({ message }) => logAction("read_credentials", "fail", { error: message })),
    Effect.forever,
    Effect.forkScoped
  )
})

/** Reads the files; as long as the scope is open they are read anew at each SIGHUP. */
export const make = Effect.fn("ServerIdentity.make")(function* (given: Given) {
  const pair = yield* pairOf(given.tlsCert, given.tlsKey)
  const clientCa = Option.getOrUndefined(given.tlsClientCa)
  const tokensFile = Option.getOrUndefined(given.tokens)
  if (clientCa !== undefined && pair === undefined) {
    const message = "tls-client-ca needs TLS: give --tls-cert and --tls-key too"
    return yield* new CliError.ValidationError({ message })
  }
  /** Reads all files before any of them takes effect, so that a wrong one changes nothing. */
  const read = Effect.gen(function* () {
    const credentials = pair && {
      ...(yield* readPair(pair)),
      clientCa: clientCa === undefined ? undefined : yield* readAuthority(clientCa)
    }
    return {
      credentials,
      tokens: tokensFile === undefined ? undefined : yield* readTokens(tokensFile)
    }
  })
  const nameFiles = Effect.mapError(
    ({ message }: CredentialsUnusable) =>
      new FileUnavailable({ file: `${pair?.cert}, ${pair?.key}`, reason: message })
  )
  const first = yield* read
  const tls = first.credentials && (yield* nameFiles(makeServerTls(first.credentials)))
  let { tokens } = first
  const readAnew = Effect.gen(function* () {
    const next = yield* read
    if (tls && next.credentials) yield* nameFiles(tls.replace(next.credentials))
    tokens = next.tokens
  })
  // With nothing to read, SIGHUP means that the terminal was closed, and stops the server.
  if (pair !== undefined || tokensFile !== undefined) yield* readAtHangups(readAnew)
  const identity: Identity["Service"] = {
    certificates: clientCa !== undefined,
    tokens: tokens && (() => tokens!)
  }
  return { tls, identity }
})

/** Says once what a server that can be reached from elsewhere does not ask for. */
export const warnIfOpen = (
  host: string,
  { identity, tls }: Effect.Success<ReturnType<typeof make>>
) => {
  if (isLoopback(host)) return Effect.void
  if (!identity.certificates && identity.tokens === undefined) {
    return Effect.logWarning(
      `whoever reaches ${host} can speak for any agency: neither certificates (--tls-client-ca) ` +
        "nor tokens (--tokens) are asked for"
    )
  }
  return tls === undefined
    ? Effect.logWarning(
        `tokens and bets travel to ${host} in the clear: give --tls-cert, --tls-key`
      )
    : Effect.void
}
