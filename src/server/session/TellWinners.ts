/**
 * The end of an agency's conversation in every dialect: it waits at the barrier, hears its winners,
 * and is noted as told.
 */
import { type Duration, Effect, type Result, Semaphore } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { WinningDocuments } from "../../domain/Draw.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { discardInput, type Peer } from "../admission/Peer.ts"
import { ServerLimits } from "../admission/ServerLimits.ts"
import { inTime, WRITTEN_BYTES } from "../admission/Timeouts.ts"
import { Lottery } from "../lottery/Lottery.ts"

/** An agency's winners in a dialect, where it can say them. */
export type Answer = Result.Result<Uint8Array, BadMessage>

/** How a dialect tells an agency its winners. */
export interface Telling<E> {
  /** What goes on until the draw is held. */
  readonly meanwhile: Effect.Effect<never, E, Lottery>
  /** What is then said. */
  readonly winners: (documents: WinningDocuments) => Answer
  /** A client of this dialect closes once it has its winners; not all of the old ones do. */
  readonly closes: boolean
}

/**
 * Makes the answer of an agency once: a peer that asks again, and reads it slowly, costs neither
 * the time to make it nor the memory for another one.
 */
export const madeOnce = <Rest extends ReadonlyArray<unknown>>(
  make: (documents: WinningDocuments, ...rest: Rest) => Answer
): typeof make => {
  const made = new WeakMap<WinningDocuments, Answer>()
  return (documents, ...rest) => {
    const answer = made.get(documents) ?? make(documents, ...rest)
    made.set(documents, answer)
    return answer
  }
}

/** An answer that is not worth a claim on memory. */
const SMALL_BYTES = 1024
/** Larger answers of one agency that are on their way at a time. */
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
  { made }: Peer["held"]
): Effect.Effect<void, E, R> => {
  if (bytes.length <= SMALL_BYTES) return say
  const permits = onTheirWay.get(documents) ?? Semaphore.makeUnsafe(MAX_ON_THEIR_WAY)
  onTheirWay.set(documents, permits)
  return permits.withPermit(made(Math.min(bytes.length, WRITTEN_BYTES), say))
}

const NOT_CLOSED = "it was told its winners and did not close, so it may not have read them"

/** How long a dead machine's answer to what is written to it may take, that it knows of nothing. */
const RESET_TIMEOUT = "200 millis"

/**
 * Learns now and then whether a peer is gone that sends no more: nothing is read of it, which would
 * say so. What is written is nothing, at which the system only says whether it could be.
 */
const askWhetherThere = ({ connection }: Peer, every: Duration.Duration) =>
  Effect.forever(Effect.andThen(Effect.sleep(every), connection.write(new Uint8Array(0))))

/**
 * Writes to a peer that has said long ago that it sends no more: it may wait for its winners, or
 * its process is gone. One that is gone resets the connection at the first bytes, which the next
 * ones meet.
 */
const writeToSilent = Effect.fnUntraced(function* ({ connection }: Peer, bytes: Uint8Array) {
  const unlessLost = Effect.raceFirst(Effect.sleep(RESET_TIMEOUT), connection.lost)
  yield* connection.write(bytes.subarray(0, -1))
  yield* unlessLost
  yield* connection.write(bytes.subarray(-1))
  yield* unlessLost
})

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
  const { connection, held, ip } = peer
  const { farewellTimeout, keepAliveDelay, lingerTimeout } = yield* ServerLimits
  let isSilent = false
  const watch = Effect.flatMap(discardInput(peer), () => {
    isSilent = true
    return askWhetherThere(peer, keepAliveDelay)
  })
  const documents = yield* Effect.raceFirst(
    lottery.winnersOf(agency),
    Effect.raceFirst(Effect.raceFirst(connection.lost, watch), meanwhile)
  )
  const bytes = yield* Effect.fromResult(winners(documents))
  const say = Effect.suspend(() =>
    isSilent ? writeToSilent(peer, bytes) : connection.write(bytes)
  )
  const closed = Effect.gen(function* () {
    yield* connection.end
    if (!closes) return yield* Effect.timeoutOption(discardInput(peer), lingerTimeout)
    const close = Effect.raceFirst(discardInput(peer), connection.lost)
    return yield* Effect.catchTag(
      inTime(peer, { what: "the close", timeout: farewellTimeout }, close),
      "TooSlow",
      () => Effect.fail(new ConnectionLost({ reason: NOT_CLOSED }))
    )
  })
  yield* inTurn(documents, bytes, say, held).pipe(
    Effect.andThen(closed),
    Effect.andThen(Effect.uninterruptible(lottery.told(agency))),
    Effect.catchTag("StoreBroken", ({ message }) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, ip, error: message })
    )
  )
})
