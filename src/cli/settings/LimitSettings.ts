/** The settings of `lottery server` that bound what a peer may cost it; see `ServerLimits`. */
import type { Duration } from "effect"
import type { Command } from "effect/cli"
import { MIN_MEMORY_BYTES } from "../../server/admission/MessageMemory.ts"
import { defaultLimits, type ServerLimits } from "../../server/admission/ServerLimits.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

const MAX_CONNECTIONS = 1_000_000

/** A setting for the flag of the limit's name. */
const count = (limit: "maxConnections" | "maxUnidentified", description: string) =>
  Setting.withDefault(flagOf(limit), {
    description,
    schema: SettingText.intBetween(1, MAX_CONNECTIONS),
    metavar: "number",
    default: defaultLimits[limit]
  })

/** `--idle-timeout` for `idleTimeout`. */
const flagOf = (limit: string): string =>
  limit.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const time = (name: string, description: string, fallback: Duration.Duration) =>
  Setting.withDefault(name, {
    description,
    schema: SettingText.SomeTime,
    metavar: "duration",
    default: fallback,
    shownDefault: SettingText.showDuration(fallback)
  })

type Timeout = Extract<keyof ServerLimits, `${string}Timeout`>
const timeout = (limit: Timeout, description: string) =>
  time(flagOf(limit), description, defaultLimits[limit])

const { keepAliveDelay, maxMemoryBytes } = defaultLimits

export const settings = {
  maxConnections: count("maxConnections", "Most connections on both ports together"),
  maxUnidentified: count(
    "maxUnidentified",
    "Most connections from one address before their first message; others wait"
  ),
  maxMemory: Setting.withDefault("max-memory", {
    description: "Most bytes that all connections together hold in memory",
    schema: SettingText.sizeFrom(MIN_MEMORY_BYTES),
    metavar: "size",
    default: maxMemoryBytes,
    shownDefault: SettingText.showSize(maxMemoryBytes)
  }),
  keepAlive: time(
    "keep-alive",
    "Silence after which the system asks whether a peer's machine is there",
    keepAliveDelay
  ),
  handshakeTimeout: timeout("handshakeTimeout", "Time for a TLS handshake"),
  firstByteTimeout: timeout(
    "firstByteTimeout",
    "Time for the first byte, but on the winners' port"
  ),
  dialectTimeout: timeout("dialectTimeout", "Time from the first byte until the dialect is clear"),
  messageTimeout: timeout("messageTimeout", "Time from a message's first byte to its last"),
  idleTimeout: timeout("idleTimeout", "Time from one message of an upload to the next"),
  writeTimeout: timeout("writeTimeout", "Time for a peer to read 64 KiB of what it is told")
}

type Given = Command.Command.Config.Infer<typeof settings>

/** The limits that the settings give; what a peer is given at its end is no setting. */
export const toLimits = ({ keepAlive, maxMemory, ...given }: Given): ServerLimits => ({
  ...defaultLimits,
  ...given,
  keepAliveDelay: keepAlive,
  maxMemoryBytes: maxMemory
})
