/**
 * The end of a connection at which an agency is: a scripted server speaks with it byte by byte, in
 * memory or over a socket, and reads what the agency says frame by frame.
 */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import { controlFrame, PREFACE, readControl } from "./messages.ts"

export interface AgencyEnd {
  /** Waits for so many bytes; dies where they do not come. */
  readonly receive: (count: number) => Effect.Effect<Buffer>
  readonly send: (bytes: Uint8Array) => Effect.Effect<void>
  /** Says that nothing more will come (FIN), and takes nothing more. */
  readonly close: Effect.Effect<void>
  /** Breaks the connection. */
  readonly reset: Effect.Effect<void>
}

/** The next native frame, its length included. */
export const frame = Effect.fnUntraced(function* (agency: AgencyEnd) {
  const length = yield* agency.receive(4)
  return Buffer.concat([length, yield* agency.receive(length.readUInt32BE())])
})

/** The next control message. */
export const control = (agency: AgencyEnd) => Effect.map(frame(agency), readControl)

/** The next frame of bets. */
export const bets = Effect.fnUntraced(function* (agency: AgencyEnd) {
  const bytes = yield* frame(agency)
  if (bytes[4] !== 2) return yield* Effect.die(new Error(`no bets: ${bytes.subarray(5)}`))
  return {
    position: bytes.readUInt32BE(5),
    count: bytes.readUInt32BE(9),
    rows: bytes.subarray(13).toString()
  }
})

/** The preface and the Hello. */
export const hello = Effect.fnUntraced(function* (agency: AgencyEnd) {
  const preface = yield* agency.receive(PREFACE.length)
  if (!preface.equals(PREFACE)) return yield* Effect.die(new Error("expected the preface"))
  return yield* control(agency)
})

export const say = (agency: AgencyEnd, ...messages: ReadonlyArray<object>) =>
  agency.send(Buffer.concat(messages.map(controlFrame)))

export const sha256 = (rows: string): string => createHash("sha256").update(rows).digest("hex")

/** A Welcome to an agency of which these rows are held. */
export const welcome = (held = "", more: object = {}) => ({
  _tag: "Welcome",
  draw: "default",
  bets: held.split("\n").length - 1,
  sha256: sha256(held),
  finished: false,
  window: 4,
  maxFrame: 1024 * 1024,
  ...more
})

export const ack = (count: number) => ({ _tag: "Ack", bets: count })

export const finished = (rows: string) => ({
  _tag: "Finished",
  bets: rows.split("\n").length - 1,
  sha256: sha256(rows)
})

export const rejected = (code: string, more: object = {}) => ({
  _tag: "Rejected",
  code,
  message: "the reason",
  ...more
})

export const winners = (documents: ReadonlyArray<string>, more = false) => ({
  _tag: "Winners",
  number: 7574,
  documents,
  more
})
