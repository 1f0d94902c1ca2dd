/**
 * What `lottery server` proves itself with and asks of the agencies: settings that name files,
 * which are read at the start and anew at each SIGHUP. Where they cannot be used then, what was
 * read before stays.
 */
import * as CliError from "effect/cli/CliError"
import type * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import { logAction } from "../../domain/ActionLog.ts"
import { FileUnavailable } from "../../domain/FileUnavailable.ts"
import { isLoopback } from "../../protocol/Loopback.ts"
import {
  type Credentials,
  type CredentialsUnusable,
  makeServerTls
} from "../../server/admission/Certificates.ts"
import type { Identity } from "../../server/admission/Identity.ts"
import { parseTokens } from "../../server/admission/Tokens.ts"
import { readAuthority, readPair } from "../files/PemFile.ts"
import { readText } from "../files/TextFile.ts"
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

/** The files that are read. */
interface Files {
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  readonly clientCa: string | undefined
  readonly tokens: string | undefined
}

const refuse = (message: string) => new CliError.ValidationError({ message })

/** The files that the settings name, which must go together. */
const toFiles = ({ tlsCert, tlsClientCa, tlsKey, tokens }: Given) => {
  const cert = Option.getOrUndefined(tlsCert)
  const key = Option.getOrUndefined(tlsKey)
  const clientCa = Option.getOrUndefined(tlsClientCa)
  if ((cert === undefined) !== (key === undefined)) {
    return refuse("tls-cert and tls-key belong together: one of them is missing")
  }
  if (clientCa !== undefined && cert === undefined) {
    return refuse("tls-client-ca needs TLS: give --tls-cert and --tls-key too")
  }
  const tls = cert === undefined || key === undefined ? undefined : { cert, key }
  return { tls, clientCa, tokens: Option.getOrUndefined(tokens) } satisfies Files
}

const readCredentials = Effect.fnUntraced(function* (
  { cert, key }: NonNullable<Files["tls"]>,
  clientCa: string | undefined
) {
  return {
    ...(yield* readPair(cert, key)),
    clientCa: clientCa === undefined ? undefined : yield* readAuthority(clientCa)
  } satisfies Credentials
})

const readTokens = Effect.fnUntraced(function* (name: string) {
  return yield* Effect.mapError(
    Effect.fromResult(parseTokens(yield* readText(name))),
    (reason) => new FileUnavailable({ file: name, reason })
  )
})

/** Reads again at each SIGHUP; what it needs is there for good. */
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

/** Says which files hold certificates that cannot be used. */
const naming = ({ cert, key }: NonNullable<Files["tls"]>) =>
  Effect.mapError(
    ({ message }: CredentialsUnusable) =>
      new FileUnavailable({ file: `${cert}, ${key}`, reason: message })
  )

/** Reads the files; as long as the scope is open they are read anew at each SIGHUP. */
export const make = Effect.fn("ServerIdentity.make")(function* (given: Given) {
  const files = toFiles(given)
  if (CliError.isCliError(files)) return yield* files
  const { clientCa, tls: pair, tokens: tokensFile } = files
  const read = Effect.gen(function* () {
    return {
      credentials: pair === undefined ? undefined : yield* readCredentials(pair, clientCa),
      tokens: tokensFile === undefined ? undefined : yield* readTokens(tokensFile)
    }
  })
  const first = yield* read
  const credentials = first.credentials
  let { tokens } = first
  const tls =
    pair === undefined || credentials === undefined
      ? undefined
      : yield* naming(pair)(makeServerTls(credentials))
  const readAnew = Effect.gen(function* () {
    const next = yield* read
    if (pair !== undefined && tls !== undefined && next.credentials !== undefined) {
      yield* naming(pair)(tls.replace(next.credentials))
    }
    tokens = next.tokens
  })
  // Where there is nothing to be read, SIGHUP is a terminal's that is closed.
  if (pair !== undefined || tokensFile !== undefined) yield* readAtHangups(readAnew)
  const identity: Identity["Service"] = {
    certificates: clientCa !== undefined,
    tokens: tokens === undefined ? undefined : () => tokens!
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
