/** The settings of `lottery server` that bound what a peer may cost it; see `ServerLimits`. */
import type * as Command from "effect/cli/Command"
import type * as Duration from "effect/Duration"
import { MIN_MEMORY_BYTES } from "../../server/admission/HeldBytes.ts"
import { defaultLimits, type ServerLimits } from "../../server/admission/ServerLimits.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

const MAX_CONNECTIONS = 1_000_000

const count = (name: string, description: string, fallback: number) =>
  Setting.withDefault(name, {
    description,
    schema: SettingText.intBetween(1, MAX_CONNECTIONS),
    metavar: "number",
    default: fallback
  })

const time = (name: string, description: string, fallback: Duration.Duration) =>
  Setting.withDefault(name, {
    description,
    schema: SettingText.SomeTime,
    metavar: "duration",
    default: fallback,
    shownDefault: SettingText.showDuration(fallback)
  })

export const settings = {
  maxConnections: count(
    "max-connections",
    "Most connections on both ports together",
    defaultLimits.maxConnections
  ),
  maxUnidentified: count(
    "max-unidentified",
    "Most connections from one address before their first message; others wait",
    defaultLimits.maxUnidentified
  ),
  maxMemory: Setting.withDefault("max-memory", {
    description: "Most bytes that all connections together hold in memory",
    schema: SettingText.sizeFrom(MIN_MEMORY_BYTES),
    metavar: "size",
    default: defaultLimits.maxMemoryBytes,
    shownDefault: SettingText.showSize(defaultLimits.maxMemoryBytes)
  }),
  keepAlive: time(
    "keep-alive",
    "Silence after which the system asks whether a peer's machine is there",
    defaultLimits.keepAliveDelay
  ),
  handshakeTimeout: time(
    "handshake-timeout",
    "Time for a TLS handshake",
    defaultLimits.handshakeTimeout
  ),
  firstByteTimeout: time(
    "first-byte-timeout",
    "Time for the first byte, but on the winners' port",
    defaultLimits.firstByteTimeout
  ),
  dialectTimeout: time(
    "dialect-timeout",
    "Time from the first byte until the dialect is clear",
    defaultLimits.dialectTimeout
  ),
  messageTimeout: time(
    "message-timeout",
    "Time from a message's first byte to its last",
    defaultLimits.messageTimeout
  ),
  idleTimeout: time(
    "idle-timeout",
    "Time from one message of an upload to the next",
    defaultLimits.idleTimeout
  ),
  writeTimeout: time(
    "write-timeout",
    "Time for a peer to read 64 KiB of what it is told",
    defaultLimits.writeTimeout
  )
}

type Given = Command.Command.Config.Infer<typeof settings>

/** The limits that the settings give; what a peer is given at its end is no setting. */
export const toLimits = ({ keepAlive, maxMemory, ...given }: Given): ServerLimits => ({
  ...defaultLimits,
  ...given,
  keepAliveDelay: keepAlive,
  maxMemoryBytes: maxMemory
})
