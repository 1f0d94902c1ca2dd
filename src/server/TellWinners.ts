/**
 * The end of an agency's conversation in every dialect: it waits at the barrier, hears its winners,
 * and is noted as told.
 */
import { Effect, type Result } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import type { WinningDocuments } from "../domain/Draw.ts"
import type { BadMessage } from "../protocol/BytesCodec.ts"
import { Lottery } from "./Lottery.ts"
import { discardInput, type Peer } from "./Peer.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** How a dialect tells an agency its winners. */
export interface Telling<E> {
  /** What goes on until the draw is held. */
  readonly meanwhile: Effect.Effect<never, E, Lottery>
  /** What is then said. */
  readonly winners: (documents: WinningDocuments) => Result.Result<Uint8Array, BadMessage>
  /** A client of this dialect closes once it has its winners; not all of the old ones do. */
  readonly closes: boolean
}

/** How long a dead machine's answer to what is written to it may take, that it knows of nothing. */
const RESET_TIMEOUT = "200 millis"

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
 * stay, also when it was there for a while longer, and its connection did not break.
 */
export const tellWinners = Effect.fnUntraced(function* <E>(
  peer: Peer,
  agency: Agency,
  { closes, meanwhile, winners }: Telling<E>
) {
  const lottery = yield* Lottery
  const { connection, ip } = peer
  const { lingerTimeout } = yield* ServerLimits
  let isSilent = false
  const watch = Effect.flatMap(discardInput(peer), () => {
    isSilent = true
    return Effect.never
  })
  const documents = yield* Effect.raceFirst(
    lottery.winnersOf(agency),
    Effect.raceFirst(Effect.raceFirst(connection.lost, watch), meanwhile)
  )
  const say = Effect.gen(function* () {
    const bytes = yield* Effect.fromResult(winners(documents))
    yield* isSilent ? writeToSilent(peer, bytes) : connection.write(bytes)
    yield* connection.end
    const closed = Effect.raceFirst(discardInput(peer), connection.lost)
    yield* closes ? closed : Effect.timeoutOption(discardInput(peer), lingerTimeout)
  })
  yield* say.pipe(
    Effect.andThen(Effect.uninterruptible(lottery.told(agency))),
    Effect.catchTag(["BadMessage", "StoreBroken"], ({ message }) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, ip, error: message })
    )
  )
})
