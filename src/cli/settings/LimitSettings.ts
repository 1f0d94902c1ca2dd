/** The settings of `lottery server` that bound what a peer may cost it; see `ServerLimits`. */
import type { Duration } from "effect"
import { MIN_MEMORY_BYTES } from "../../server/admission/MessageMemory.ts"
import { defaultLimits, type ServerLimits } from "../../server/admission/ServerLimits.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

const MAX_CONNECTIONS = 1_000_000

/** The flag of a limit's name: `--idle-timeout` for `idleTimeout`. */
const flagOf = (limit: string): string =>
  limit.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const count = (limit: "maxConnections" | "maxUnidentified", description: string) =>
  Setting.withDefault(flagOf(limit), "<number>", {
    description,
    schema: SettingText.intBetween(1, MAX_CONNECTIONS),
    default: defaultLimits[limit]
  })

const time = (name: string, description: string, fallback: Duration.Duration) =>
  Setting.withDefault(name, "<duration>", {
    description,
    schema: SettingText.SomeTime,
    default: fallback,
    shownDefault: SettingText.showDuration(fallback)
  })

type Timeout = Extract<keyof ServerLimits, `${string}Timeout`>
const timeout = (limit: Timeout, description: string) =>
  time(flagOf(limit), description, defaultLimits[limit])

/** Each under the name of its limit; what a peer is given at its end is no setting. */
export const settings = {
  maxConnections: count("maxConnections", "Most connections on both ports together"),
  maxUnidentified: count(
    "maxUnidentified",
    "Most connections from one address before their first message; others wait"
  ),
  maxMemoryBytes: Setting.withDefault("max-memory", "<size>", {
    description: "Most bytes that all connections together hold in memory",
    schema: SettingText.sizeFrom(MIN_MEMORY_BYTES),
    default: defaultLimits.maxMemoryBytes,
    shownDefault: SettingText.showSize(defaultLimits.maxMemoryBytes)
  }),
  keepAliveDelay: time(
    "keep-alive",
    "Silence after which the system asks whether a peer's machine is there",
    defaultLimits.keepAliveDelay
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
