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
import {
  type CredentialsUnusable,
  makeServerTls,
  type ServerTls
} from "../../server/admission/Certificates.ts"
import type { Identity } from "../../server/admission/Identity.ts"
import { parseTokens, type Tokens } from "../../server/admission/Tokens.ts"
import { readAuthority, readPair } from "../files/PemFile.ts"
import { readText } from "../files/WholeFile.ts"
import { takeHangups } from "../process/Signals.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

const file = (name: string, description: string) =>
  Setting.optional(name, { description, schema: SettingText.Text, metavar: "file" })

export const settings = {
  tlsCert: file("tls-cert", "Speak TLS on both ports, with this certificate (PEM)"),
  tlsKey: file("tls-key", "The private key of the server's certificate (PEM)"),
  tlsClientCa: file("tls-client-ca", "Take agencies only with a certificate of this CA (PEM)"),
  tokens: file("tokens", "Take agencies only with their token: an agency and its token a line")
}

type Given = Command.Command.Config.Infer<typeof settings>

/** The files of a certificate and of its private key. */
interface PairFiles {
  readonly cert: string
  readonly key: string
}

const refuse = (message: string) => new CliError.ValidationError({ message })

/** The files that the settings name; fails if these do not go together. */
const filesOf = Effect.fnUntraced(function* (given: Given) {
  const cert = Option.getOrUndefined(given.tlsCert)
  const key = Option.getOrUndefined(given.tlsKey)
  const clientCa = Option.getOrUndefined(given.tlsClientCa)
  if ((cert === undefined) !== (key === undefined)) {
    return yield* refuse("tls-cert and tls-key belong together: one of them is missing")
  }
  if (clientCa !== undefined && cert === undefined) {
    return yield* refuse("tls-client-ca needs TLS: give --tls-cert and --tls-key too")
  }
  const pair = cert === undefined || key === undefined ? undefined : { cert, key }
  return { pair, clientCa, tokensFile: Option.getOrUndefined(given.tokens) }
})

const readCredentials = Effect.fnUntraced(function* (
  { cert, key }: PairFiles,
  clientCa: string | undefined
) {
  const pair = yield* readPair(cert, key)
  return { ...pair, clientCa: clientCa === undefined ? undefined : yield* readAuthority(clientCa) }
})

const readTokens = Effect.fnUntraced(function* (file: string) {
  return yield* Effect.mapError(
    Effect.fromResult(parseTokens(yield* readText(file))),
    (reason) => new FileUnavailable({ file, reason })
  )
})

/** Says which files hold certificates that cannot be used. */
const naming = ({ cert, key }: PairFiles) =>
  Effect.mapError(
    ({ message }: CredentialsUnusable) =>
      new FileUnavailable({ file: `${cert}, ${key}`, reason: message })
  )

/** Reads again at each SIGHUP until the scope closes. */
const readAtHangups = Effect.fnUntraced(function* <E extends { readonly message: string }>(
  read: Effect.Effect<void, E, FileSystem.FileSystem>
) {
  const hangups = yield* Queue.sliding<void>(1)
  takeHangups(() => Queue.offerUnsafe(hangups, undefined))
  yield* Queue.take(hangups).pipe(
    Effect.andThen(logAction("signal_received", "success", { signal: "SIGHUP" })),
    Effect.andThen(read),
    Effect.andThen(logAction("read_credentials", "success")),
    Effect.catch(({ message }: E) => logAction("read_credentials", "fail", { error: message })),
    Effect.forever,
    Effect.forkScoped
  )
})

/** Reads the files; as long as the scope is open they are read anew at each SIGHUP. */
export const make = Effect.fn("ServerIdentity.make")(function* (given: Given) {
  const { clientCa, pair, tokensFile } = yield* filesOf(given)
  let tls: ServerTls | undefined
  let tokens: Tokens | undefined
  /** Reads all files before any of them takes effect, so that a wrong one changes nothing. */
  const read = Effect.gen(function* () {
    const credentials = pair === undefined ? undefined : yield* readCredentials(pair, clientCa)
    const nextTokens = tokensFile === undefined ? undefined : yield* readTokens(tokensFile)
    if (pair !== undefined && credentials !== undefined) {
      if (tls === undefined) tls = yield* naming(pair)(makeServerTls(credentials))
      else yield* naming(pair)(tls.replace(credentials))
    }
    tokens = nextTokens
  })
  yield* read
  // With nothing to read, SIGHUP means that the terminal was closed, and stops the server.
  if (pair !== undefined || tokensFile !== undefined) yield* readAtHangups(read)
  const identity: Identity["Service"] = {
    certificates: clientCa !== undefined,
    tokens: tokensFile === undefined ? undefined : () => tokens!
  }
  return { tls: tls as ServerTls | undefined, identity }
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
