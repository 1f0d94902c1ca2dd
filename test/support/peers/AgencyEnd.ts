/** A scripted server's connection to a client, in memory or over a socket. */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import { controlFrame, PREFACE, readControl } from "./messages.ts"

export interface AgencyEnd {
  /** Waits for `count` bytes; dies if they do not arrive. */
  readonly receive: (count: number) => Effect.Effect<Buffer>
  readonly send: (bytes: Uint8Array) => Effect.Effect<void>
  /** Sends FIN. */
  readonly close: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
}

/** Receives the next native frame, including its length. */
export const frame = Effect.fnUntraced(function* (agency: AgencyEnd) {
  const length = yield* agency.receive(4)
  return Buffer.concat([length, yield* agency.receive(length.readUInt32BE())])
})

export const control = (agency: AgencyEnd) => Effect.map(frame(agency), readControl)

/** Receives the next Bets frame. */
export const bets = Effect.fnUntraced(function* (agency: AgencyEnd) {
  const bytes = yield* frame(agency)
  if (bytes[4] !== 2) return yield* Effect.die(new Error(`no bets: ${bytes.subarray(5)}`))
  return {
    position: bytes.readUInt32BE(5),
    count: bytes.readUInt32BE(9),
    rows: bytes.subarray(13).toString()
  }
})

/** Receives the preface and the Hello. */
export const hello = Effect.fnUntraced(function* (agency: AgencyEnd) {
  const preface = yield* agency.receive(PREFACE.length)
  if (!preface.equals(PREFACE)) return yield* Effect.die(new Error("expected the preface"))
  return yield* control(agency)
})

export const say = (agency: AgencyEnd, ...messages: ReadonlyArray<object>) =>
  agency.send(Buffer.concat(messages.map(controlFrame)))

export const sha256 = (rows: string): string => createHash("sha256").update(rows).digest("hex")

/** A Welcome from a server that has stored the rows in `held`. */
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
