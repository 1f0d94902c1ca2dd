/**
 * The certificate of `lottery server` and the credentials that it requires of agencies. The files
 * are read at startup and again on each SIGHUP. If the new ones are unusable, the old ones stay.
 */
import { Effect, type FileSystem, Option, Queue } from "effect"
import { CliError, type Command } from "effect/cli"
import { logAction } from "../../../domain/ActionLog.ts"
import { FileUnavailable } from "../../../domain/FileUnavailable.ts"
import { isLoopback } from "../../../protocol/Loopback.ts"
import { type CredentialsUnusable, makeServerTls } from "../../../server/admission/Certificates.ts"
import type { Identity } from "../../../server/admission/Identity.ts"
import { parseTokens } from "../../../server/admission/Tokens.ts"
import { pairOf, readAuthority, readPair } from "../../files/PemFile.ts"
import { readText } from "../../files/WholeFile.ts"
import { takeHangups } from "../../process/Signals.ts"
import * as Setting from "../Setting.ts"

export const settings = {
  tlsCert: Setting.file("tls-cert", "Use TLS on both ports with this PEM certificate"),
  tlsKey: Setting.file("tls-key", "PEM private key of the --tls-cert certificate"),
  tlsClientCa: Setting.file(
    "tls-client-ca",
    "PEM certificate of a CA; agencies need a certificate issued by it"
  ),
  tokens: Setting.file(
    "tokens",
    "File with one agency and its token per line; each agency must send its token"
  )
}

type Given = Command.Command.Config.Infer<typeof settings>

const readTokens = Effect.fnUntraced(function* (file: string) {
  return yield* Effect.mapError(
    Effect.fromResult(parseTokens(yield* readText(file))),
    (reason) => new FileUnavailable({ file, reason })
  )
})

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

/** Reads the files now, and again on each SIGHUP until the scope closes. */
export const make = Effect.fn("ServerIdentity.make")(function* (given: Given) {
  const pair = yield* pairOf(given.tlsCert, given.tlsKey)
  const clientCa = Option.getOrUndefined(given.tlsClientCa)
  const tokensFile = Option.getOrUndefined(given.tokens)
  if (clientCa !== undefined && pair === undefined) {
    const message = "tls-client-ca needs TLS: add --tls-cert and --tls-key"
    return yield* new CliError.ValidationError({ message })
  }
  /** Reads all files before any takes effect, so that an invalid one changes nothing. */
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
  const readAgain = Effect.gen(function* () {
    const next = yield* read
    if (tls && next.credentials) yield* nameFiles(tls.replace(next.credentials))
    tokens = next.tokens
  })
  // With nothing to read, SIGHUP keeps its meaning, a closed terminal, and stops the server.
  if (pair !== undefined || tokensFile !== undefined) yield* readAtHangups(readAgain)
  const identity: Identity["Service"] = {
    certificates: clientCa !== undefined,
    tokens: tokens && (() => tokens!)
  }
  return { tls, identity }
})

/** Warns if other machines can reach the server without proving who they are, or without TLS. */
export const warnIfOpen = (
  host: string,
  { identity, tls }: Effect.Success<ReturnType<typeof make>>
) => {
  if (isLoopback(host)) return Effect.void
  if (!identity.certificates && identity.tokens === undefined) {
    return Effect.logWarning(
      `anyone who can connect to ${host} can speak for any agency: require certificates ` +
        "(--tls-client-ca) or tokens (--tokens)"
    )
  }
  return tls === undefined
    ? Effect.logWarning(
        `tokens and bets travel to ${host} in the clear: use --tls-cert and --tls-key`
      )
    : Effect.void
}
