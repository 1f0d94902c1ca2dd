/**
 * Saved sessions: what a client of each dialect sends in a whole conversation. Each file in
 * `sessions/` is one session. `means` describes it. `agency` is null for text lines, `book` has
 * canonical rows, and `winners` is null if the session does not ask for them. `messages` are in
 * hex, with the native preface as a separate message. If sessions share an agency, the first by
 * name uploads its book.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import type { Dialect } from "../../../src/protocol/Dialect.ts"

const FOLDER = join(import.meta.dirname, "sessions")

const Saved = Schema.fromJsonString(
  Schema.Struct({
    means: Schema.String,
    dialect: Schema.Literals(["binary", "json", "line", "native"]),
    agency: Schema.NullOr(Schema.Int),
    book: Schema.NullOr(Schema.Array(Schema.String)),
    winners: Schema.NullOr(Schema.Array(Schema.String)),
    messages: Schema.Array(Schema.String)
  })
)
const decode = Schema.decodeSync(Saved)

export interface Session {
  readonly name: string
  readonly dialect: Dialect
  /** Undefined in a text line. Four digits that occur nowhere else in the messages. */
  readonly agency: number | undefined
  /** The agency's whole book: canonical rows without line endings. */
  readonly book: ReadonlyArray<string>
  /** The documents in the last answer; undefined if the session does not ask for winners. */
  readonly winners: ReadonlyArray<string> | undefined
  readonly messages: ReadonlyArray<Buffer>
}

const load = (file: string): Session => {
  const saved = decode(readFileSync(join(FOLDER, file), "utf8"))
  return {
    name: file.replace(/\.json$/, ""),
    dialect: saved.dialect,
    agency: saved.agency ?? undefined,
    book: saved.book ?? [],
    winners: saved.winners ?? undefined,
    messages: saved.messages.map((hex) => Buffer.from(hex, "hex"))
  }
}

export const SESSIONS: ReadonlyArray<Session> = readdirSync(FOLDER).sort().map(load)

/** The sessions that upload their agency's book, one per agency. */
export const UPLOADS = SESSIONS.filter(
  ({ agency }, index) =>
    agency !== undefined && SESSIONS.findIndex((other) => other.agency === agency) === index
)

export const bytesOf = ({ messages }: Session): Buffer => Buffer.concat(messages)

/** Returns the session for another agency of four digits, which changes no length. */
export const forAgency = (session: Session, agency: number): Session => {
  const old = String(session.agency)
  const messages = session.messages.map((message) => {
    const at = session.agency === undefined ? -1 : message.indexOf(old)
    if (at === -1) return message
    const renamed = Buffer.from(message)
    renamed.write(String(agency), at)
    return renamed
  })
  return { ...session, agency: session.agency === undefined ? undefined : agency, messages }
}
