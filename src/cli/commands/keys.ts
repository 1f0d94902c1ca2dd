/** `lottery keys`: makes a CA and the certificates it issues, and a seal key, for trying out. */
import { Console, Effect, FileSystem, Option, Path, Stream } from "effect"
import { Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { makeFolder } from "../files/Folder.ts"
import type { CertifiedKey } from "../files/TrialKeys.ts"
import * as TrialSealKey from "../files/TrialSealKey.ts"
import { writeWhole } from "../files/WholeFile.ts"
import { SealName } from "../settings/SealName.ts"
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
  sealName: Setting.withDefault("seal-name", "<name>", {
    description: "The operator's name in the seal key",
    schema: SealName,
    default: "lottery.example"
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
const SEAL = "seal"
/** The seal key's verifier key. */
const VKEY = `${SEAL}.vkey`
const agencyName = (agency: number): string => `agency-${agency}`

type KeysSettings = Command.Command.Config.Infer<typeof settings>

const filesOf = ({ agencies }: KeysSettings): ReadonlyArray<string> => {
  const certified = [AUTHORITY, SERVER, ...agencies.map(agencyName)]
  const pairs = certified.flatMap((holder) => [certificateName(holder), keyName(holder)])
  return [...pairs, keyName(SEAL), VKEY]
}

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

const writeFile = Effect.fnUntraced(function* (
  folder: string,
  name: string,
  text: string,
  options?: { readonly mode: number }
) {
  const file = (yield* Path.Path).join(folder, name)
  yield* writeWhole(file, Stream.encodeText(Stream.succeed(text)), options)
})

const writeKey = (folder: string, holder: string, key: string) =>
  writeFile(folder, keyName(holder), key, { mode: OWNER_ONLY })

const writeCertifiedKey = Effect.fnUntraced(function* (
  folder: string,
  holder: string,
  { certificate, key }: CertifiedKey
) {
  yield* writeFile(folder, certificateName(holder), certificate)
  yield* writeKey(folder, holder, key)
})

/** Writes a new seal key and returns its verifier key. */
const writeSealKey = Effect.fnUntraced(function* ({ out, sealName }: KeysSettings) {
  const { pem, vkey } = yield* TrialSealKey.make(sealName)
  yield* writeKey(out, SEAL, pem)
  yield* writeFile(out, VKEY, `${vkey}\n`)
  return vkey
})

/** Removes the files of an incomplete set, which would block a second try. */
const removeSet = Effect.fnUntraced(function* (settings: KeysSettings) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const name of filesOf(settings)) {
    yield* Effect.ignore(fs.remove(path.join(settings.out, name)))
  }
})

/**
 * Writes the keys of the CA, the server and each agency, and the seal key: all of them or none.
 * Returns the seal key's verifier key.
 */
const writeSet = Effect.fnUntraced(
  function* (settings: KeysSettings) {
    const { agencies, days, names, out } = settings
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
    return yield* writeSealKey(settings)
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
    const vkey = yield* writeSet(given)
    yield* logAction("keys", "success", { agencies: agencies.length, days, folder: out })
    const { join } = yield* Path.Path
    yield* Effect.logWarning(
      `for trials only: anyone with ${join(out, keyName(AUTHORITY))} can impersonate any agency, ` +
        `and anyone with ${join(out, keyName(SEAL))} can seal draws`
    )
    yield* Console.log(vkey)
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery keys --agencies 5 --out keys/",
      description:
        "Write NAME.pem and NAME-key.pem for ca, server and agency-1 to agency-5, " +
        "and a seal key; print the key that verifies its seals"
    },
    {
      command: "lottery keys --names lottery.example,10.0.0.7",
      description: "Do the same for a server that also has this name and address"
    }
  ])
)
