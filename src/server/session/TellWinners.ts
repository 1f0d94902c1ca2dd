/**
 * The end of an agency's conversation in every dialect: it waits at the barrier, hears its winners,
 * and is noted as told.
 */
import { Effect, type Result, Semaphore } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { WinningDocuments } from "../../domain/Draw.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { discardInput, type Peer } from "../admission/Peer.ts"
import { ServerLimits } from "../admission/ServerLimits.ts"
import { inTime, WRITTEN_BYTES } from "../admission/Timeouts.ts"
import { Lottery } from "../lottery/Lottery.ts"

/** Makes an agency's winners and the number that won a dialect's bytes, if it can say them. */
export type EncodeWinners = (
  documents: WinningDocuments,
  winningNumber: number
) => Result.Result<Uint8Array, BadMessage>

/**
 * Makes the answer of an agency once: a peer that asks again, and reads it slowly, costs neither
 * the time to make it nor the memory for another one.
 */
export const madeOnce = (encode: EncodeWinners): EncodeWinners => {
  const made = new WeakMap<WinningDocuments, ReturnType<EncodeWinners>>()
  return (documents, winningNumber) => {
    const answer = made.get(documents) ?? encode(documents, winningNumber)
    made.set(documents, answer)
    return answer
  }
}

/** An answer up to this size claims no memory. */
const SMALL_BYTES = 1024
/** Larger answers that are on their way to one agency's connections at a time. */
const MAX_ON_THEIR_WAY = 64
const onTheirWay = new WeakMap<WinningDocuments, Semaphore.Semaphore>()

/**
 * Says an agency's winners once there is room for what is on its way. Those who ask for the same
 * winners wait for each other: however many they are, other agencies have room for theirs.
 */
export const inTurn = <E, R>(
  documents: WinningDocuments,
  bytes: Uint8Array,
  say: Effect.Effect<void, E, R>,
  { made }: Peer["memory"]
): Effect.Effect<void, E, R> => {
  if (bytes.length <= SMALL_BYTES) return say
  const permits = onTheirWay.get(documents) ?? Semaphore.makeUnsafe(MAX_ON_THEIR_WAY)
  onTheirWay.set(documents, permits)
  return permits.withPermit(made(Math.min(bytes.length, WRITTEN_BYTES), say))
}

const NOT_CLOSED = "it was told its winners and did not close, so it may not have read them"

/** How long the machine of a process that is gone may take to reset the connection. */
const RESET_TIMEOUT = "200 millis"

/**
 * Writes to a peer that said long ago that it sends no more: it may wait for its winners, or its
 * process is gone, which resets the connection at the first bytes and is seen by the next ones.
 */
const writeToSilent = Effect.fnUntraced(function* ({ connection }: Peer, bytes: Uint8Array) {
  const unlessLost = Effect.raceFirst(Effect.sleep(RESET_TIMEOUT), connection.lost)
  yield* connection.write(bytes.subarray(0, -1))
  yield* unlessLost
  yield* connection.write(bytes.subarray(-1))
  yield* unlessLost
})

/** How a dialect tells an agency its winners. */
interface Telling<E> {
  /** What goes on until the draw is held. */
  readonly meanwhile: Effect.Effect<never, E>
  readonly winners: EncodeWinners
  /** A client of this dialect closes once it has its winners; not all of the old ones do. */
  readonly closes: boolean
}

/**
 * Waits for the draw as long as the agency is there, and tells it its winners. No dialect
 * acknowledges them: an agency counts as told when it has closed; in a dialect whose clients may
 * stay, also when it was there for a while longer, and its connection did not break. Fails if the
 * dialect cannot say the winners.
 */
export const tellWinners = Effect.fnUntraced(function* <E>(
  peer: Peer,
  agency: Agency,
  { closes, meanwhile, winners }: Telling<E>
) {
  const lottery = yield* Lottery
  const { connection, ip, memory } = peer
  const { farewellTimeout, keepAliveDelay, lingerTimeout } = yield* ServerLimits
  // Nothing more is read of a peer that sends no more: an empty write fails once it is gone.
  const probe = Effect.andThen(Effect.sleep(keepAliveDelay), connection.write(new Uint8Array(0)))
  let isSilent = false
  const watch = Effect.flatMap(discardInput(peer), () => {
    isSilent = true
    return Effect.forever(probe)
  })
  const documents = yield* Effect.raceAllFirst([
    lottery.winnersOf(agency),
    connection.lost,
    watch,
    meanwhile
  ])
  const bytes = yield* Effect.fromResult(winners(documents, lottery.draw.winningNumber))
  const say = Effect.suspend(() =>
    isSilent ? writeToSilent(peer, bytes) : connection.write(bytes)
  )
  // The question is answered, and waits for no room of which it holds a part itself.
  yield* memory.giveUp
  yield* inTurn(documents, bytes, say, memory)
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
