/** The wait for the draw, which may be long, and in which a server may have 10,000 agencies. */
import { Deferred, Effect, Exit, Scope } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import type {
  ConnectionLost,
  HeldConnection,
  PeerConnection
} from "../../protocol/PeerConnection.ts"
import type { Peer } from "../admission/Peer.ts"
import { ServerLimits } from "../admission/ServerLimits.ts"
import type { BookConnection } from "../lottery/Book.ts"
import { Lottery, type Winners } from "../lottery/Lottery.ts"
import type { Standing } from "../lottery/Standing.ts"
import type { Waiting } from "../lottery/WaitingRoom.ts"
import type { Pending, Step } from "./Pending.ts"
import { Objection } from "./Refusal.ts"

/** What a dialect sends to an agency that waits. */
export interface News {
  /** Encodes how many agencies have finished. */
  readonly standing: (standing: Standing) => Uint8Array
  /** Encodes the proofs of the seal, which are sent before the winners. */
  readonly seal: (standing: Standing, proofs: readonly [string, string]) => Uint8Array
}

const noop = () => {}

/** The state of a connection that waits. */
class Wait implements Waiting {
  readonly agency: Agency
  readonly tell: Waiting["tell"]
  ending: EndOfStream | ConnectionLost | undefined
  /** The peer must be told the standing with a write that waits. */
  isBehind: boolean
  hasSeal: boolean
  stop: (() => void) | undefined
  private isWoken = false
  private resume = noop

  constructor(agency: Agency, { writeNow }: HeldConnection, news: News | undefined) {
    this.agency = agency
    this.isBehind = false
    this.hasSeal = news === undefined
    this.tell =
      news &&
      ((standing) => {
        this.isBehind = !writeNow(news.standing(standing))
        return !this.isBehind
      })
  }

  wake(): void {
    this.isWoken = true
    this.resume()
  }

  /** Starts a look at what there is to do. A call of `wake` from now on ends the next wait. */
  look(): void {
    this.isWoken = false
  }

  /** Discards input from now on. */
  watch({ discard }: HeldConnection): void {
    this.stop ??= discard((ending) => {
      this.ending = ending
      this.wake()
    })
  }

  /** Waits to be woken. The fiber may have yielded to others since the look. */
  readonly woken = Effect.callback<void>((resume) => {
    if (this.isWoken) return resume(Effect.void)
    this.resume = () => {
      this.resume = noop
      resume(Effect.void)
    }
    return Effect.sync(() => {
      this.resume = noop
    })
  })
}

/** Waits to be woken, or until a half-closed peer turns out to be gone. */
const halfClosed = Effect.fnUntraced(function* ({ woken }: Wait, connection: PeerConnection) {
  const { keepAliveDelay } = yield* ServerLimits
  // Reads cannot detect the loss of a half-closed peer: an empty write fails once it is gone.
  const probe = Effect.andThen(Effect.sleep(keepAliveDelay), connection.write(new Uint8Array(0)))
  yield* Effect.raceAllFirst([woken, connection.lost, Effect.forever(probe)])
})

const sendStanding = Effect.fnUntraced(function* (
  agency: Agency,
  connection: PeerConnection,
  { standing }: News
) {
  const { standings } = yield* Lottery
  if (standings.hasFinished(agency)) return yield* connection.write(standing(standings.now()))
  const unfinished = `agency ${agency} has not finished its book, or the book was discarded`
  const message = `${unfinished}; send the book first`
  return yield* new Objection({ code: "NotFinished", message, agency })
})

/** Sends what there is to send. Returns whether the draw is decided; otherwise it must wait. */
const sendNews = Effect.fnUntraced(function* (
  wait: Wait,
  connection: HeldConnection,
  mustLeave: BookConnection["mustLeave"],
  news: News | undefined
) {
  const { agency } = wait
  const { evidence, isDecided, standings } = yield* Lottery
  for (;;) {
    wait.look()
    if (Deferred.isDoneUnsafe(mustLeave)) yield* Deferred.await(mustLeave)
    if (!wait.hasSeal && evidence?.isSealed()) {
      wait.hasSeal = true
      const proofs = yield* evidence.proofsOf(agency)
      if (news !== undefined) yield* connection.write(news.seal(standings.now(), proofs))
      continue
    }
    if (isDecided()) return true
    if (news !== undefined && (wait.isBehind || !standings.hasFinished(agency))) {
      wait.isBehind = false
      yield* sendStanding(agency, connection, news)
      continue
    }
    wait.watch(connection)
    if (wait.ending?._tag === "ConnectionLost") return yield* wait.ending
    if (wait.ending === undefined) return false
    yield* halfClosed(wait, connection)
  }
})

type Ended =
  | Effect.Error<ReturnType<typeof sendNews>>
  | Effect.Error<ReturnType<Lottery["Service"]["winnersOf"]>>

/**
 * Waits for the draw while the peer is connected, and sends it the news. Then runs `decided` with
 * the agency's winners and whether the peer has half-closed. One callback wakes it: a race of all
 * that can happen, on Effect's socket, took 20 KB more memory for each connection.
 */
export const awaitDraw = Effect.fnUntraced(function* <E, R>(
  { connection, memory }: Peer,
  agency: Agency,
  mustLeave: BookConnection["mustLeave"],
  news: News | undefined,
  decided: (own: Winners, isHalfClosed: boolean) => Effect.Effect<undefined, E, R>
) {
  const { reader } = connection
  const { waitingRoom, winnersOf } = yield* Lottery
  yield* memory.giveUp
  yield* reader.take(reader.buffered().length)
  const wait = new Wait(agency, connection, news)
  const leave = Effect.sync(() => {
    wait.stop?.()
    waitingRoom.leave(wait)
  })
  const step = (sent: ReturnType<typeof sendNews>): Step<E | Ended, R | Lottery> =>
    sent.pipe(
      Effect.onExit((exit) => (Exit.isSuccess(exit) && !exit.value ? Effect.void : leave)),
      Effect.flatMap((isDecided) =>
        isDecided
          ? Effect.flatMap(winnersOf(agency), (own) => decided(own, wait.ending !== undefined))
          : Effect.succeed(pending)
      )
    )
  const pending: Pending<E | Ended, R | Lottery> = {
    woken: wait.woken,
    proceed: Effect.suspend(() => step(sendNews(wait, connection, mustLeave, news)))
  }
  yield* Scope.addFinalizer(yield* Effect.scope, leave)
  yield* waitingRoom.enter(wait)
  const greeted = news === undefined ? Effect.void : sendStanding(agency, connection, news)
  const sent = Effect.andThen(greeted, sendNews(wait, connection, mustLeave, news))
  return yield* step(sent)
})
