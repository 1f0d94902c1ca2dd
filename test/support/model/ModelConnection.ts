/** An in-process connection with a server end and a peer end. */
import { Deferred, Effect } from "effect"
import * as ByteReader from "../../../src/protocol/ByteReader.ts"
import { ConnectionLost, type HeldConnection } from "../../../src/protocol/PeerConnection.ts"

export interface ModelConnection {
  /** The server's end. */
  readonly connection: HeldConnection
  readonly send: (bytes: Uint8Array) => void
  /** Sends FIN. */
  readonly halfClose: () => void
  /** Breaks the connection and loses the bytes in transit. */
  readonly drop: () => void
  /** Removes and returns what the server has sent so far. */
  readonly heard: () => Buffer
  /** Whether the server has sent FIN. */
  readonly isEnded: () => boolean
  /** A count that grows with every transfer on the connection. */
  readonly activity: () => number
}

export const make = (room: (end: number) => Effect.Effect<void>): ModelConnection => {
  let inbox: Array<Uint8Array> = []
  let outbox: Array<Uint8Array> = []
  let ended = false
  let gone = false
  let serverEnded = false
  let activity = 0
  let arrived = Deferred.makeUnsafe<void>()
  const lost = Deferred.makeUnsafe<never, ConnectionLost>()
  let discarding: (() => void) | undefined

  const move = () => {
    activity++
    const waiting = arrived
    arrived = Deferred.makeUnsafe<void>()
    Deferred.doneUnsafe(waiting, Effect.void)
    discarding?.()
  }

  const failure = () => new ConnectionLost({ reason: "dropped by the test" })

  const pull: Effect.Effect<
    ReadonlyArray<Uint8Array>,
    ConnectionLost | ByteReader.EndOfStream
  > = Effect.suspend(() => {
    if (gone) return Effect.fail(failure())
    if (inbox.length > 0) {
      const chunks = inbox
      inbox = []
      activity++
      return Effect.succeed(chunks)
    }
    if (ended) return Effect.fail(new ByteReader.EndOfStream({ pending: 0 }))
    return Effect.andThen(Deferred.await(arrived), pull)
  })

  return {
    connection: {
      reader: ByteReader.make(pull, room),
      write: (bytes) =>
        Effect.suspend(() => {
          if (gone) return Effect.fail(failure())
          activity++
          outbox.push(bytes)
          return Effect.void
        }),
      writeNow: (bytes) => {
        if (gone) return false
        activity++
        outbox.push(bytes)
        return true
      },
      lost: Deferred.await(lost),
      discard: (onEnd) => {
        const discard = () => {
          inbox = []
          if (!gone && !ended) return
          discarding = undefined
          onEnd(gone ? failure() : new ByteReader.EndOfStream({ pending: 0 }))
        }
        discarding = discard
        discard()
        return () => {
          if (discarding === discard) discarding = undefined
        }
      },
      end: Effect.sync(() => {
        serverEnded = true
      })
    },
    send: (bytes) => {
      // The server owns what it receives, and the test may send the same bytes again.
      inbox.push(Uint8Array.from(bytes))
      move()
    },
    halfClose: () => {
      ended = true
      move()
    },
    drop: () => {
      gone = true
      move()
      Deferred.doneUnsafe(lost, Effect.fail(failure()))
    },
    heard: () => {
      const bytes = Buffer.concat(outbox)
      outbox = []
      return bytes
    },
    isEnded: () => serverEnded,
    activity: () => activity
  }
}
