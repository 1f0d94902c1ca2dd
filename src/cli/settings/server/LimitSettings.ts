/** The settings of `lottery server` for its connection limits; see `ServerLimits`. */
import type { Duration } from "effect"
import { MIN_MEMORY_BYTES } from "../../../server/admission/MessageMemory.ts"
import { defaultLimits, type ServerLimits } from "../../../server/admission/ServerLimits.ts"
import * as Setting from "../Setting.ts"
import * as SettingText from "../SettingText.ts"

const MAX_CONNECTIONS = 1_000_000

/** `idle-timeout` for `idleTimeout`. */
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

/** The limits for the end of a connection are not settings. */
export const settings = {
  maxConnections: count("maxConnections", "Maximum connections on both ports together"),
  maxUnidentified: count(
    "maxUnidentified",
    "Maximum unidentified connections (before their first message) from one address; others wait"
  ),
  maxMemoryBytes: Setting.withDefault("max-memory", "<size>", {
    description: "Maximum memory for messages, all connections together",
    schema: SettingText.sizeFrom(MIN_MEMORY_BYTES),
    default: defaultLimits.maxMemoryBytes,
    shownDefault: SettingText.showSize(defaultLimits.maxMemoryBytes)
  }),
  keepAliveDelay: time(
    "keep-alive",
    "Silence after which TCP keep-alive probes the peer",
    defaultLimits.keepAliveDelay
  ),
  handshakeTimeout: timeout("handshakeTimeout", "Maximum time for a TLS handshake"),
  firstByteTimeout: timeout(
    "firstByteTimeout",
    "Maximum time until the first byte, except on the winners port"
  ),
  dialectTimeout: timeout(
    "dialectTimeout",
    "Maximum time from the first byte until the dialect is known"
  ),
  messageTimeout: timeout("messageTimeout", "Maximum time from a message's first byte to its last"),
  idleTimeout: timeout("idleTimeout", "Maximum time between two messages of an upload"),
  writeTimeout: timeout("writeTimeout", "Maximum time for a peer to read 64 KiB of answers")
}
