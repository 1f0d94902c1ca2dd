/**
 * The end of the native conversation (wire: "Native", 4): an agency that has finished waits, hears
 * how many others have, and then its winners.
 */
import { Effect, Result } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { WinningDocuments } from "../../domain/Draw.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import { encodeNativeReply } from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { Peer } from "../admission/Peer.ts"
import { Lottery } from "../lottery/Lottery.ts"
import type { Standing } from "../lottery/Standing.ts"
import { NotFinished } from "./NativeRefusal.ts"
import { say } from "./NativeReply.ts"
import { madeOnce, tellWinners } from "./TellWinners.ts"

/** The least time between two words on the standing. */
const STANDING_AT_MOST_EVERY = "1 second"
/** So much longer where nothing changes: every 15 s an agency hears that we are there. */
const STANDING_AGAIN_AFTER = "14 seconds"
/** Documents of a `Winners` message: at 13 bytes each they fit a frame. */
const DOCUMENTS_PER_MESSAGE = 50_000

/** Says how many agencies have finished, which is nothing to an agency that has not. */
const sayStanding = Effect.fnUntraced(function* (peer: Peer, agency: Agency) {
  const lottery = yield* Lottery
  if (!lottery.hasFinished(agency)) return yield* new NotFinished({ agency })
  const standing = yield* lottery.standing
  yield* say(peer, new Native.Waiting(standing))
  return standing
})

/** Says the standing again as it changes; never ends well. */
const keepSayingStanding = Effect.fnUntraced(function* (
  peer: Peer,
  agency: Agency,
  said: Standing
): Effect.fn.Return<never, NotFinished | BadMessage | ConnectionLost, Lottery> {
  const lottery = yield* Lottery
  let standing = said
  for (;;) {
    yield* Effect.sleep(STANDING_AT_MOST_EVERY)
    yield* Effect.timeoutOption(lottery.standingChangedFrom(standing), STANDING_AGAIN_AFTER)
    standing = yield* sayStanding(peer, agency)
  }
})

/** Waits for the draw with an agency that has finished, and tells it its winners. */
export const awaitWinners = Effect.fnUntraced(function* (
  peer: Peer,
  agency: Agency,
  onAnswered: () => void
) {
  const { draw } = yield* Lottery
  const said = yield* sayStanding(peer, agency)
  yield* tellWinners(peer, agency, {
    meanwhile: keepSayingStanding(peer, agency, said),
    winners: (documents) => {
      onAnswered()
      return winnersFrames(documents, draw.winningNumber)
    },
    closes: true
  })
})

/** The winners in as many messages as they need, one where there are none. */
const winnersMessages = (
  number: number,
  documents: WinningDocuments
): ReadonlyArray<Native.Winners> => {
  const messages: Array<Native.Winners> = []
  let start = 0
  do {
    const end = start + DOCUMENTS_PER_MESSAGE
    const more = end < documents.length
    messages.push(new Native.Winners({ number, documents: documents.slice(start, end), more }))
    start = end
  } while (start < documents.length)
  return messages
}

const winnersFrames = madeOnce((documents, number: number) =>
  Result.map(Result.all(winnersMessages(number, documents).map(encodeNativeReply)), (frames) =>
    Buffer.concat(frames)
  )
)
