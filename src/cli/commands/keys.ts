/** `lottery keys`: makes a CA and the certificates it issues, for trying out TLS. */
import { Effect, FileSystem, Option, Path, Stream } from "effect"
import { Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { makeFolder } from "../files/Folder.ts"
import type { CertifiedKey } from "../files/TrialKeys.ts"
import { writeWhole } from "../files/WholeFile.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

/** The names in every server certificate; `server` is the Compose service. */
const SERVER_NAMES = ["localhost", "server", "127.0.0.1", "::1"]

/** A certificate cannot contain an address's zone or a name's final dot. */
const isCertified = (name: string | undefined): name is string =>
  name !== undefined && !name.includes("%") && !name.endsWith(".")

const NamesFromText = SettingText.fromText(
  "expected host names or IP addresses separated by commas",
  (text): ReadonlyArray<string> | undefined => {
    const names = text.split(",").map((name) => SettingText.parseHost(name.trim()))
    return names.every(isCertified) ? names : undefined
  }
)

/** Apple's systems, the strictest, accept no server certificate that is valid for longer. */
const MAX_DAYS = 825

export const settings = {
  agencies: sharedSettings.agencies,
  names: Setting.optional("names", "<name,...>", {
    description: `Server names or IP addresses, in addition to ${SERVER_NAMES.join(", ")}`,
    schema: NamesFromText
  }),
  days: Setting.withDefault("days", "<number>", {
    description: "Days until the certificates expire",
    schema: SettingText.intBetween(1, MAX_DAYS),
    default: 30
  }),
  out: Setting.withDefault("out", "<folder>", {
    description: "Folder to write to, created if missing; existing files are never overwritten",
    schema: SettingText.Text,
    default: "keys"
  })
}

/** The library is large, so it is loaded only after the settings are checked. */
const loadTrialKeys = Effect.promise(() => import("../files/TrialKeys.ts"))

const certificateName = (holder: string): string => `${holder}.pem`
const keyName = (holder: string): string => `${holder}-key.pem`

const AUTHORITY = "ca"
const SERVER = "server"
const agencyName = (agency: number): string => `agency-${agency}`

type KeysSettings = Command.Command.Config.Infer<typeof settings>

const filesOf = ({ agencies }: KeysSettings): ReadonlyArray<string> =>
  [AUTHORITY, SERVER, ...agencies.map(agencyName)].flatMap((holder) => [
    certificateName(holder),
    keyName(holder)
  ])

const refuseToOverwrite = Effect.fnUntraced(function* (settings: KeysSettings) {
  const { out } = settings
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const there = new Set(yield* Effect.mapError(fs.readDirectory(out), fileUnavailable(out)))
  const taken = filesOf(settings).find((name) => there.has(name))
  if (taken === undefined) return
  const reason = "already exists; nothing was written"
  return yield* new FileUnavailable({ file: path.join(out, taken), reason })
})

const OWNER_ONLY = 0o600

const writeCertifiedKey = Effect.fnUntraced(function* (
  folder: string,
  holder: string,
  { certificate, key }: CertifiedKey
) {
  const path = yield* Path.Path
  const content = (text: string) => Stream.encodeText(Stream.succeed(text))
  yield* writeWhole(path.join(folder, certificateName(holder)), content(certificate))
  yield* writeWhole(path.join(folder, keyName(holder)), content(key), { mode: OWNER_ONLY })
})

/** Removes the files of an incomplete set, which would block a second try. */
const removeSet = Effect.fnUntraced(function* (settings: KeysSettings) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const name of filesOf(settings)) {
    yield* Effect.ignore(fs.remove(path.join(settings.out, name)))
  }
})

/** Writes the keys of the CA, the server and each agency: all of them or none. */
const writeSet = Effect.fnUntraced(
  function* ({ agencies, days, names, out }: KeysSettings) {
    const { makeAuthority, validFor } = yield* loadTrialKeys
    const validity = yield* validFor(days)
    const authority = yield* makeAuthority(validity)
    yield* writeCertifiedKey(out, AUTHORITY, authority)
    const given = Option.getOrElse(names, () => [])
    const serverNames = [...new Set([...SERVER_NAMES, ...given])]
    yield* writeCertifiedKey(out, SERVER, yield* authority.issue({ serverNames }, validity))
    for (const agency of agencies) {
      yield* writeCertifiedKey(
        out,
        agencyName(agency),
        yield* authority.issue({ agency }, validity)
      )
    }
  },
  (effect, settings) => Effect.onError(effect, () => removeSet(settings))
)

export const keys = Command.make(
  "keys",
  settings,
  Effect.fnUntraced(function* (given) {
    const { agencies, days, out } = given
    yield* makeFolder(out)
    yield* refuseToOverwrite(given)
    yield* writeSet(given)
    yield* logAction("keys", "success", { agencies: agencies.length, days, folder: out })
    const authorityKey = (yield* Path.Path).join(out, keyName(AUTHORITY))
    yield* Effect.logWarning(
      `for trials only: anyone with ${authorityKey} can impersonate any agency`
    )
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery keys --agencies 5 --out keys/",
      description: "Write NAME.pem and NAME-key.pem for ca, server and agency-1 to agency-5"
    },
    {
      command: "lottery keys --names lottery.example,10.0.0.7",
      description: "Do the same for a server that also has this name and address"
    }
  ])
)
