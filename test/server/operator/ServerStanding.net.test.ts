/**
 * Goal: a server knows what each agency does there now, in every dialect, and what agencies send to
 * other servers of its draw. Method: scripted peers on real sockets and real stores.
 */
import { randomUUID } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Scope } from "effect"
import { Lottery } from "../../../src/server/lottery/Lottery.ts"
import * as ServerStanding from "../../../src/server/operator/ServerStanding.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as M from "../../support/peers/messages.ts"
import * as RawPeer from "../../support/peers/RawPeer.ts"
import * as TestServer from "../../support/peers/TestServer.ts"
import { describePostgres, freshSchema } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const lookAt = ({ lottery, store }: TestServer.TestServer, isShared: boolean) =>
  ServerStanding.make(isShared).pipe(
    Effect.provideService(BetStore, store),
    Effect.provideService(Lottery, lottery)
  )

const started = Effect.gen(function* () {
  const url = { _tag: "csv", path: `${yield* temporaryFolder}/bets.csv` } as const
  const server = yield* TestServer.start(url, [1, 2])
  const { lottery, port, store } = server
  const look = yield* lookAt(server, false)
  /** Looks until the first agency is in a state, after which a connection has come or gone. */
  const lookFor = Effect.fnUntraced(function* (state: string) {
    for (;;) {
      const { agencies, at, total } = yield* look
      if (agencies[0]!.state === state) return { first: agencies[0]!, at, total }
      yield* Effect.sleep("5 millis")
    }
  }, Effect.timeout("20 seconds"))
  return { lottery, port, store, look, lookFor }
})

const book = [M.fields(10), M.fields(11), M.fields(12)]

describe("the standing at a server", () => {
  it.live("follows a native agency, which says how many bets it has", () =>
    Effect.gen(function* () {
      const { look, lookFor, port } = yield* started
      expect(yield* look).toMatchObject({
        draw: { id: "default", phase: "taking bets" },
        agencies: [
          { agency: 1, state: "away", connections: 0, perSecond: 0, lastActivity: null },
          { agency: 2, state: "away", connections: 0, perSecond: 0, lastActivity: null }
        ],
        total: { connections: 0, perSecond: 0, lastActivity: null, bookBets: null }
      })

      const scope = yield* Scope.make()
      const peer = yield* Scope.provide(RawPeer.connect(port), scope)
      yield* peer.send(M.helloOf(1, "default", { book: { bets: 8 } }))
      yield* peer.control
      const silent = { bets: 0, bookBets: 8, connections: 1, perSecond: 0, lastActivity: null }
      expect((yield* lookFor("sending")).first).toMatchObject(silent)

      yield* peer.send(M.betsOf(0, book))
      yield* peer.control
      const { at, first, total } = yield* lookFor("sending")
      expect(first).toMatchObject({ bets: 3, bookBets: 8, connections: 1, perSecond: 3 })
      expect(first.lastActivity).toBeLessThanOrEqual(at)
      expect(first.lastActivity).toBeGreaterThan(at - 60_000)
      const { lastActivity } = first
      expect(total).toMatchObject({ bets: 3, connections: 1, perSecond: 3, lastActivity })

      yield* Scope.close(scope, Exit.void)
      expect((yield* lookFor("away")).first).toMatchObject({ connections: 0, bookBets: 8 })

      // It connects again with a program that does not say it.
      const again = yield* RawPeer.connect(port)
      yield* again.send(M.helloOf(1))
      yield* again.control
      expect((yield* lookFor("sending")).first).toMatchObject({ bets: 3, bookBets: null })
    })
  )

  it.live("follows an agency of the course, also while its bets are only compared", () =>
    Effect.gen(function* () {
      const { lookFor, port } = yield* started
      for (const perSecond of [3, 3]) {
        const scope = yield* Scope.make()
        const peer = yield* Scope.provide(RawPeer.connect(port), scope)
        yield* peer.send(M.packetOf(1, book, true))
        expect(yield* peer.receive(2)).toEqual(M.STORED)
        const { first } = yield* lookFor("sending")
        expect(first).toMatchObject({ bets: 3, bookBets: null, connections: 1 })
        expect(first.perSecond).toBeLessThanOrEqual(perSecond)
        expect(first.lastActivity).not.toBeNull()
        yield* Scope.close(scope, Exit.void)
        yield* lookFor("away")
      }
    })
  )

  it.live("forgets what an agency did once its book is discarded", () =>
    Effect.gen(function* () {
      const { lookFor, lottery, port, store } = yield* started
      const peer = yield* RawPeer.connect(port)
      yield* peer.send(M.helloOf(1, "default", { book: { bets: 8 } }))
      yield* peer.control
      yield* peer.send(M.betsOf(0, book))
      yield* peer.control
      yield* store.discard(1, randomUUID())
      yield* lottery.lookAgain
      const unknown = { bets: 0, bookBets: null, perSecond: 0, lastActivity: null }
      expect((yield* lookFor("away")).first).toMatchObject(unknown)
    })
  )

  it.live("tells when a finished agency was last active", () =>
    Effect.gen(function* () {
      const { lookFor, port } = yield* started
      const peer = yield* RawPeer.connect(port)
      yield* peer.send(M.helloOf(1))
      yield* peer.control
      yield* peer.send(M.finishOf([]))
      yield* peer.control
      const { first } = yield* lookFor("finished")
      expect(first).toMatchObject({ bets: 0, bookBets: 0, connections: 1 })
      expect(first.lastActivity).not.toBeNull()
    })
  )
})

describePostgres("the standing at one of several servers", (database) => {
  it.live("shows what an agency sends to another one, and what is unknown of it", () =>
    Effect.gen(function* () {
      const url = Redacted.make(yield* freshSchema((yield* database).url))
      const here = yield* TestServer.start({ _tag: "postgres", url }, [1, 2])
      const there = yield* TestServer.start({ _tag: "postgres", url }, [1, 2])
      const look = yield* lookAt(here, true)
      const unknown = { perSecond: null, lastActivity: null, connections: null, state: null }
      expect((yield* look).agencies).toMatchObject([unknown, unknown])

      const peer = yield* RawPeer.connect(there.port)
      yield* peer.send(M.helloOf(1))
      yield* peer.control
      yield* peer.send(M.betsOf(0, book))
      yield* peer.control
      const own = yield* RawPeer.connect(here.port)
      yield* own.send(M.helloOf(2))
      yield* own.control
      // The rate covers the time between two looks.
      yield* Effect.sleep("5 millis")
      const { agencies, total } = yield* look
      expect(agencies[0]).toMatchObject({ bets: 3, state: "sending", connections: null })
      expect(agencies[0]!.perSecond).toBeGreaterThan(0)
      expect(agencies[0]!.lastActivity).not.toBeNull()
      expect(agencies[1]).toMatchObject({ state: "sending", connections: 1, perSecond: 0 })
      expect(total).toMatchObject({ bets: 3, connections: null })
    })
  )
})
