/** The end of a session in every dialect: waits for the draw, sends and records the winners. */
import { Effect, type Result, Semaphore } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { WinningDocuments } from "../../domain/Draw.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import { ConnectionLost, MAX_UNSENT_BYTES } from "../../protocol/PeerConnection.ts"
import { discardInput, type Peer } from "../admission/Peer.ts"
import { ServerLimits } from "../admission/ServerLimits.ts"
import { inTime } from "../admission/Timeouts.ts"
import type { BookConnection } from "../lottery/Book.ts"
import { Lottery, type Winners } from "../lottery/Lottery.ts"
import { awaitDraw, type News } from "./AwaitDraw.ts"

/** Encodes an agency's winners; fails if the dialect cannot. */
export type EncodeWinners = (winners: Winners) => Result.Result<Uint8Array, BadMessage>

/** Encodes each agency's answer once: repeated requests take no more time or memory for it. */
export const encodeOnce = (encode: EncodeWinners): EncodeWinners => {
  const made = new WeakMap<WinningDocuments, ReturnType<EncodeWinners>>()
  return (winners) => {
    const answer = made.get(winners.documents) ?? encode(winners)
    made.set(winners.documents, answer)
    return answer
  }
}

/** Answers up to this size claim no memory. */
const SMALL_BYTES = 1024
/** Larger answers that are written at the same time to one agency's connections. */
const MAX_CONCURRENT_ANSWERS = 64
const sendPermits = new WeakMap<WinningDocuments, Semaphore.Semaphore>()

/**
 * Runs `send` once there is memory for the answer. Connections of one agency also wait for each
 * other, so that they cannot use up the memory for the answers of other agencies.
 */
export const sendInTurn = <E, R>(
  documents: WinningDocuments,
  bytes: Uint8Array,
  send: Effect.Effect<void, E, R>,
  memory: Peer["memory"]
): Effect.Effect<void, E, R> => {
  if (bytes.length <= SMALL_BYTES) return send
  const permits = sendPermits.get(documents) ?? Semaphore.makeUnsafe(MAX_CONCURRENT_ANSWERS)
  sendPermits.set(documents, permits)
  return permits.withPermit(memory.made(Math.min(bytes.length, MAX_UNSENT_BYTES), send))
}

const NOT_CLOSED = "the winners were sent but the peer did not close, so it may not have read them"

/** Time for the machine of an ended process to reset the connection. */
const RESET_TIMEOUT = "200 millis"

/**
 * Writes to a peer that has half-closed its connection and may have ended. In that case the first
 * bytes make its machine reset the connection, and the write of the last byte fails.
 */
const writeToHalfClosed = Effect.fnUntraced(function* ({ connection }: Peer, bytes: Uint8Array) {
  const unlessLost = Effect.raceFirst(Effect.sleep(RESET_TIMEOUT), connection.lost)
  yield* connection.write(bytes.subarray(0, -1))
  yield* unlessLost
  yield* connection.write(bytes.subarray(-1))
  yield* unlessLost
})

/** An agency's request for its winners, and how its dialect sends them. */
export interface Asked {
  readonly agency: Agency
  /** Undefined if an agency hears nothing before the winners. */
  readonly news: News | undefined
  readonly winners: EncodeWinners
  /** Clients of this dialect close once they have their winners; some course clients do not. */
  readonly closes: boolean
}

/**
 * Waits for the draw while the peer is connected, then sends the winners. No dialect acknowledges
 * them, so they count as sent once the client closes. For a client that may stay open, an unbroken
 * connection for `lingerTimeout` is enough. Fails if the dialect cannot encode the winners.
 */
export const tellWinners = (peer: Peer, mustLeave: BookConnection["mustLeave"], asked: Asked) =>
  awaitDraw(peer, asked.agency, mustLeave, asked.news, (own, isHalfClosed) =>
    Effect.as(sendWinners(peer, asked, own, isHalfClosed), undefined)
  )

const sendWinners = Effect.fnUntraced(function* (
  peer: Peer,
  { agency, closes, winners }: Asked,
  own: Winners,
  isHalfClosed: boolean
) {
  const lottery = yield* Lottery
  const { connection, ip, memory } = peer
  const { farewellTimeout, lingerTimeout } = yield* ServerLimits
  const { documents } = own
  const bytes = yield* Effect.fromResult(winners(own))
  const send = Effect.suspend(() =>
    isHalfClosed ? writeToHalfClosed(peer, bytes) : connection.write(bytes)
  )
  yield* sendInTurn(documents, bytes, send, memory)
  yield* connection.end
  if (closes) {
    const close = Effect.raceFirst(discardInput(peer), connection.lost)
    yield* Effect.catchTag(
      inTime(peer, { what: "the close", timeout: farewellTimeout }, close),
      "TooSlow",
      () => Effect.fail(new ConnectionLost({ reason: NOT_CLOSED }))
    )
  } else {
    yield* Effect.timeoutOption(discardInput(peer), lingerTimeout)
  }
  yield* Effect.catchTag(
    Effect.uninterruptible(lottery.told(agency)),
    "StoreBroken",
    ({ message }) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, ip, error: message })
  )
})
