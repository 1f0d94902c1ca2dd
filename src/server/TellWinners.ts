/**
 * The end of an agency's conversation in every dialect: it waits at the barrier, hears its winners,
 * and is noted as told.
 */
import { Effect } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import type { WinningDocuments } from "../domain/Draw.ts"
import type { BadMessage } from "../protocol/BytesCodec.ts"
import type { ConnectionLost } from "../protocol/PeerConnection.ts"
import { Lottery } from "./Lottery.ts"
import { linger, type Peer } from "./Peer.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** How a dialect tells an agency its winners. */
export interface Telling<E> {
  /** What goes on until the draw is held. */
  readonly meanwhile: Effect.Effect<never, E, Lottery>
  readonly say: (documents: WinningDocuments) => Effect.Effect<void, BadMessage | ConnectionLost>
  /** A client of this dialect closes once it has its winners; not all of the old ones do. */
  readonly closes: boolean
}

/**
 * Waits for the draw as long as the agency is there, and tells it its winners. No dialect
 * acknowledges them: an agency counts as told when it has closed; in a dialect whose clients may
 * stay, also when it was there for a while longer, and its connection did not break.
 */
export const tellWinners = Effect.fnUntraced(function* <E>(
  peer: Peer,
  agency: Agency,
  { closes, meanwhile, say }: Telling<E>
) {
  const lottery = yield* Lottery
  const { connection, ip } = peer
  const { lingerTimeout, toldTimeout } = yield* ServerLimits
  const documents = yield* Effect.raceFirst(
    lottery.winnersOf(agency),
    Effect.raceFirst(connection.lost, meanwhile)
  )
  yield* Effect.uninterruptibleMask((restore) =>
    say(documents).pipe(
      Effect.andThen(restore(linger(peer, closes ? toldTimeout : lingerTimeout))),
      Effect.flatMap((closed) => (closed || !closes ? lottery.told(agency) : Effect.void))
    )
  ).pipe(
    Effect.catchTag(["BadMessage", "StoreBroken"], ({ message }) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, ip, error: message })
    )
  )
})
