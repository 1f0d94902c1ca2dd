/** An in-memory connection between a client and a scripted server. */
import { Effect, Queue } from "effect"
import * as ByteReader from "../../../src/protocol/ByteReader.ts"
import { ConnectionLost, type PeerConnection } from "../../../src/protocol/PeerConnection.ts"
import type { AgencyEnd } from "./AgencyEnd.ts"

export interface AgencyLink extends AgencyEnd {
  /** The client's end. */
  readonly connection: PeerConnection
  /** How many bytes from the client were not received yet. */
  readonly pending: () => number
  /** Makes all further writes of the client fail; it can still read. */
  readonly deafen: Effect.Effect<void>
}

const RESET = new ConnectionLost({ reason: "reset" })

export const make = Effect.gen(function* () {
  type End = ByteReader.EndOfStream | ConnectionLost
  const toAgency = yield* Queue.unbounded<Uint8Array, End>()
  const toServer = yield* Queue.unbounded<Uint8Array, End>()
  const server = ByteReader.make<ConnectionLost>(Queue.takeAll(toServer))
  let said = 0
  let received = 0
  let broken = false
  const connection: PeerConnection = {
    reader: ByteReader.make<ConnectionLost>(Queue.takeAll(toAgency)),
    write: (bytes) =>
      Effect.suspend(() => {
        if (broken) return Effect.fail(RESET)
        said += bytes.length
        return Effect.asVoid(Queue.offer(toServer, bytes))
      }),
    lost: Effect.never,
    end: Effect.void
  }
  const deafen = Effect.sync(() => {
    broken = true
  })
  return {
    connection,
    pending: () => said - received,
    deafen,
    receive: (count) =>
      Effect.map(Effect.orDie(server.take(count)), (bytes) => {
        received += count
        return Buffer.from(bytes)
      }),
    send: (bytes) => Effect.asVoid(Queue.offer(toAgency, bytes)),
    close: Effect.asVoid(Queue.fail(toAgency, new ByteReader.EndOfStream({ pending: 0 }))),
    reset: Effect.andThen(deafen, Queue.fail(toAgency, RESET))
  } satisfies AgencyLink
})
