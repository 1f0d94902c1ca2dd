/**
 * Goal: an agency that the draw goes without is told so, as far as its dialect can say it, and
 * never that it has no winners (docs/wire.md). Method: raw peers on both ports of a server with a
 * real store, in every phase of a draw.
 */
import { it } from "@effect/vitest"
import { Effect, Latch } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../src/domain/Bet.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import type { ExpectedAgencies } from "../../src/domain/Draw.ts"
import { type BetStore, StoreUnavailable } from "../../src/server/store/BetStore.ts"
import * as M from "../support/peers/messages.ts"
import * as RawPeer from "../support/peers/RawPeer.ts"
import { bytesOf, SESSIONS } from "../support/peers/Sessions.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"
import { whole } from "../support/wholeBook.ts"

type Store = BetStore["Service"]
type Server = TestServer.TestServer

const place = Effect.map(
  temporaryFolder,
  (folder) => ({ _tag: "sqlite", path: `${folder}/lottery.db` }) as const
)

const startServer = Effect.fnUntraced(function* (
  agencies: ExpectedAgencies = [1, 2, 3],
  options: TestServer.Options = {}
) {
  return yield* TestServer.start(yield* place, agencies, 7574, options)
})

const until = (server: Server, line: string) =>
  Effect.gen(function* () {
    while (!server.log.some((logged) => logged.includes(line))) yield* Effect.sleep("2 millis")
  }).pipe(Effect.timeout("20 seconds"))

const linesAbout = (server: Server, action: string) =>
  server.log.filter((line) => line.startsWith(`action: ${action} |`))

/** Excludes agencies as `lottery close` does, and waits until the server knows. */
const exclude = Effect.fnUntraced(function* (server: Server, agencies: ReadonlyArray<number>) {
  yield* server.store.exclude(agencies)
  yield* server.lottery.lookAgain
  for (const agency of agencies) {
    yield* until(server, `agency_excluded | result: success | agencia: ${agency} |`)
  }
})

const bet = (document: number, number: number) =>
  new Bet({
    firstName: "Ana",
    lastName: "Perez",
    document: String(document),
    birthdate: "1999-03-17",
    number
  })
const BATCH = BetBatch.fromBets([bet(10, 7574), bet(11, 1)])
const BETS = [M.fields(10, 7574), M.fields(11)]
const MORE = [M.fields(12, 7574)]
const NOTHING = Buffer.alloc(0)

const reasonOf = (agency: number) =>
  `agency ${agency} is excluded from the draw: its book was not finished in time`

const excludedNatively = (agency: number) => [
  { _tag: "Rejected", code: "Excluded", message: reasonOf(agency) }
]
const excludedInJson = (agency: number) => ({ type_message: 3, payload: reasonOf(agency) })

/** What an agency may say first, the answer until the close, and how to read that answer. */
const openings = (agency: number) => {
  const native = [M.controlsIn, excludedNatively(agency)] as const
  const json = [M.readJson, excludedInJson(agency)] as const
  const same = (answer: Buffer) => answer
  const question = M.packet(`${agency};`, true)
  return {
    "a native Hello": [M.helloOf(agency), ...native],
    "a whole native conversation": [
      Buffer.concat([M.helloOf(agency), M.betsOf(0, BETS), M.finishOf(BETS), M.AWAIT_WINNERS]),
      ...native
    ],
    "a native question": [Buffer.concat([M.helloOf(agency), M.AWAIT_WINNERS]), ...native],
    "a native comparison": [
      Buffer.concat([M.helloOf(agency), M.COMPARE, M.betsOf(0, BETS)]),
      ...native
    ],
    "a JSON chunk": [M.chunkOf(agency, BETS, false), ...json],
    "a last JSON chunk": [M.chunkOf(agency, BETS, true), ...json],
    "an empty last JSON chunk": [M.chunkOf(agency, [], true), ...json],
    "a JSON question": [M.consultOf(agency), ...json],
    "a JSON chunk and question": [
      Buffer.concat([M.chunkOf(agency, BETS, true), M.consultOf(agency)]),
      ...json
    ],
    "a binary packet": [M.packetOf(agency, BETS, true), same, M.REFUSED],
    "a last binary packet": [M.packetOf(agency, BETS, false), same, M.REFUSED],
    "binary packets and a question": [
      Buffer.concat([M.packetOf(agency, BETS, false), question]),
      same,
      M.REFUSED
    ],
    "a binary question": [question, same, NOTHING],
    "an empty last binary packet": [M.packet(`${agency};`, false), same, NOTHING]
  } satisfies Record<string, readonly [Buffer, (answer: Buffer) => unknown, unknown]>
}

/** Sends bytes on a new connection and returns everything until the close. */
const exchange = Effect.fnUntraced(function* (port: number, bytes: Uint8Array) {
  const peer = yield* RawPeer.connect(port)
  yield* peer.send(bytes)
  return yield* peer.rest
}, Effect.scoped)

/** Checks every opening of the excluded agencies, on both ports. */
const expectTold = Effect.fnUntraced(function* (server: Server, agencies: ReadonlyArray<number>) {
  for (const port of [server.port, server.winnersPort]) {
    for (const agency of agencies) {
      for (const [name, [bytes, read, expected]] of Object.entries(openings(agency))) {
        const answer = yield* exchange(port, bytes)
        expect(read(answer), `${name} of agency ${agency}`).toEqual(expected)
      }
    }
  }
})

/** Stores bets of an agency that does not finish. */
const sendPart = Effect.fnUntraced(function* (server: Server, agency: number) {
  const peer = yield* RawPeer.connect(server.port)
  yield* peer.send(M.packetOf(agency, BETS, true))
  expect(yield* peer.receive(2)).toEqual(M.STORED)
}, Effect.scoped)

/** Sends an agency's whole book and receives its winners in each dialect. */
const expectWinners = Effect.fnUntraced(function* (server: Server, agency: number) {
  const book = M.packetOf(agency, BETS, false)
  const binary = yield* exchange(server.port, Buffer.concat([book, M.packet(`${agency};`, true)]))
  expect(binary).toEqual(Buffer.concat([M.STORED, M.winnersOf(10)]))
  const json = yield* exchange(server.winnersPort, M.consultOf(agency))
  expect(M.readJson(json)).toEqual({ type_message: 2, payload: "10" })
  const native = yield* exchange(
    server.port,
    Buffer.concat([M.helloOf(agency), M.finishOf(BETS), M.AWAIT_WINNERS])
  )
  expect(M.controlsIn(native).at(-1)).toMatchObject({ _tag: "Winners", documents: ["10"] })
})

describe("an excluded agency", () => {
  it.live("is told so in every dialect and on each port, before and after the draw", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      yield* sendPart(server, 3)
      yield* exclude(server, [2, 3])
      yield* expectTold(server, [2, 3])
      expect(linesAbout(server, "agency_excluded")).toEqual([
        "action: agency_excluded | result: success | agencia: 2 | cantidad: 0",
        "action: agency_excluded | result: success | agencia: 3 | cantidad: 2"
      ])
      expect(linesAbout(server, "sorteo")).toEqual([])

      yield* expectWinners(server, 1)
      expect(linesAbout(server, "sorteo")).toEqual([
        "action: sorteo | result: success | cantidad: 2 | cant_ganadores: 1 | excluidas: 2,3"
      ])
      yield* expectTold(server, [2, 3])
      // Excluded agencies count as told, so a server with --once ends.
      yield* server.lottery.allTold
    })
  )

  for (const phase of ["before", "after"] as const) {
    it.live(`is told so by a server that starts ${phase} the draw`, () =>
      Effect.gen(function* () {
        const store = yield* place
        yield* Effect.gen(function* () {
          const server = yield* TestServer.start(store, [1, 2, 3])
          yield* sendPart(server, 3)
          yield* exclude(server, [2, 3])
          if (phase === "after") yield* expectWinners(server, 1)
        }).pipe(Effect.scoped)
        const server = yield* TestServer.start(store, [1, 2, 3])
        yield* expectTold(server, [2, 3])
        if (phase === "before") expect(server.log[0]).toContain("cantidad: 0 | excluidas: 2,3")
        else yield* server.lottery.allTold
        // Its exclusion was logged when it happened.
        expect(linesAbout(server, "agency_excluded")).toEqual([])
        yield* expectWinners(server, 1)
        yield* expectTold(server, [2, 3])
      })
    )
  }
})

describe("an agency that is excluded", () => {
  const upload = {
    native: {
      open: M.helloOf(2),
      bets: M.betsOf(0, BETS),
      more: M.betsOf(2, MORE),
      last: M.finishOf(BETS)
    },
    json: {
      open: NOTHING,
      bets: M.chunkOf(2, BETS, false),
      more: M.chunkOf(2, MORE, false),
      last: M.chunkOf(2, MORE, true)
    },
    binary: {
      open: NOTHING,
      bets: M.packetOf(2, BETS, true),
      more: M.packetOf(2, MORE, true),
      last: M.packetOf(2, MORE, false)
    }
  }
  type Dialect = keyof typeof upload

  /** Sends the first bets and receives their acknowledgement. */
  const begin = Effect.fnUntraced(function* (port: number, dialect: Dialect) {
    const peer = yield* RawPeer.connect(port)
    const { bets, open } = upload[dialect]
    yield* peer.send(Buffer.concat([open, bets]))
    if (dialect === "native") {
      expect(yield* peer.control).toMatchObject({ _tag: "Welcome", bets: 0 })
      expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 2 })
    } else {
      const stored = dialect === "json" ? M.CHUNK_PROCESSED : M.STORED
      expect(yield* peer.receive(stored.length)).toEqual(stored)
    }
    return peer
  })

  const expectRefusal = Effect.fnUntraced(function* (peer: RawPeer.RawPeer, dialect: Dialect) {
    const answer = yield* peer.rest
    if (dialect === "native") expect(M.controlsIn(answer)).toEqual(excludedNatively(2))
    else if (dialect === "json") expect(M.readJson(answer)).toEqual(excludedInJson(2))
    else expect(answer).toEqual(M.REFUSED)
  })

  for (const dialect of ["native", "json", "binary"] as const) {
    it.live(`is told so in the middle of its upload: ${dialect}`, () =>
      Effect.gen(function* () {
        const server = yield* startServer()
        const peers = [
          yield* begin(server.port, dialect),
          yield* RawPeer.connect(server.winnersPort)
        ] as const
        yield* exclude(server, [2])
        yield* expectRefusal(peers[0], dialect)
        expect(linesAbout(server, "apuesta_recibida").at(-1)).toContain(reasonOf(2))
        // Connected before, but has sent nothing yet.
        yield* peers[1].send(Buffer.concat([upload[dialect].open, upload[dialect].bets]))
        yield* expectRefusal(peers[1], dialect)
        expect(yield* server.store.progressOf(2)).toMatchObject({ bets: 2, finished: false })
      })
    )

    // Another server or a command excluded it a moment ago.
    for (const next of ["more", "last"] as const) {
      it.live(`is told so in answer to its ${next} bets, if only the store knows: ${dialect}`, () =>
        Effect.gen(function* () {
          const server = yield* startServer()
          const peer = yield* begin(server.port, dialect)
          yield* server.store.exclude([2])
          yield* peer.send(upload[dialect][next])
          yield* expectRefusal(peer, dialect)
          expect(yield* server.store.progressOf(2)).toMatchObject({ bets: 2, finished: false })
        })
      )
    }
  }

  it.live("is not told that it has no winners if its question is just being answered", () =>
    Effect.gen(function* () {
      const [isFinishing, mayFinish] = [yield* Latch.make(), yield* Latch.make()]
      const finishLate =
        (store: Store): Store["finish"] =>
        (...book) =>
          isFinishing.open.pipe(
            Effect.andThen(mayFinish.await),
            Effect.andThen(store.finish(...book))
          )
      const flaw = (store: Store): Store => ({ ...store, finish: finishLate(store) })
      const server = yield* startServer([1, 2], { flaw })
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.packet("2;", false))
      yield* isFinishing.await
      yield* exclude(server, [2])
      yield* mayFinish.open
      expect(yield* peer.rest).toEqual(NOTHING)
    })
  )

  it.live("is told so when it asks on a connection that it opened long before", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const [before, after] = [
        yield* RawPeer.connect(server.winnersPort),
        yield* RawPeer.connect(server.winnersPort)
      ]
      yield* exclude(server, [2, 3])
      yield* before.send(M.consultOf(2))
      expect(M.readJson(yield* before.rest)).toEqual(excludedInJson(2))
      yield* expectWinners(server, 1)
      yield* after.send(M.consultOf(3))
      expect(M.readJson(yield* after.rest)).toEqual(excludedInJson(3))
    })
  )

  it.live("is told so while its question waits, and the others get their winners", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const [late, rightful] = [
        yield* RawPeer.connect(server.winnersPort),
        yield* RawPeer.connect(server.winnersPort)
      ]
      yield* late.send(M.consultOf(2))
      yield* rightful.send(M.consultOf(1))
      yield* exclude(server, [2])
      expect(M.readJson(yield* late.rest)).toEqual(excludedInJson(2))
      expect(linesAbout(server, "consulta_ganadores")).toEqual([
        "action: consulta_ganadores | result: fail | agencia: 2 | ip: 127.0.0.1 | " +
          `error: ${reasonOf(2)}`
      ])
      expect(rightful.unheard()).toBe(0)
      yield* exclude(server, [3])
      yield* expectWinners(server, 1)
      expect(M.readJson(yield* rightful.rest)).toEqual({ type_message: 2, payload: "10" })
    })
  )

  it.live("is told so while it waits, if its finished book was discarded before", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const native = yield* RawPeer.connect(server.port)
      yield* native.send(Buffer.concat([M.helloOf(2), M.finishOf([]), M.AWAIT_WINNERS]))
      for (const tag of ["Welcome", "Finished", "Waiting"]) {
        expect(yield* native.control).toMatchObject({ _tag: tag })
      }
      const json = yield* RawPeer.connect(server.port)
      yield* json.send(Buffer.concat([M.chunkOf(2, [], true), M.consultOf(2)]))
      expect(yield* json.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
      const binary = yield* RawPeer.connect(server.port)
      yield* binary.send(Buffer.concat([M.packet("2;", false), M.packet("2;", false)]))
      expect(yield* binary.receive(2)).toEqual(M.STORED)

      yield* server.store.discard(2, "act")
      yield* exclude(server, [2])
      expect(M.controlsIn(yield* native.rest)).toEqual(excludedNatively(2))
      expect(M.readJson(yield* json.rest)).toEqual(excludedInJson(2))
      expect(yield* binary.rest).toEqual(NOTHING)
    })
  )
})

describe("the clients of the course", () => {
  for (const session of SESSIONS) {
    const { agency, dialect, name } = session
    if (agency === undefined) continue
    const beginsWithBets = session.messages[0]!.length > M.packet(`${agency};`, true).length
    it.live(`are told that their agency is excluded: ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* startServer([1, agency])
        yield* exclude(server, [agency])
        for (const port of [server.port, server.winnersPort]) {
          const answer = yield* exchange(port, bytesOf(session))
          if (dialect === "native") expect(M.controlsIn(answer)).toEqual(excludedNatively(agency))
          else if (dialect === "json") expect(M.readJson(answer)).toEqual(excludedInJson(agency))
          else expect(answer).toEqual(beginsWithBets ? M.REFUSED : NOTHING)
        }
      })
    )
  }
})

describe("a server that does not know yet that an agency is excluded", () => {
  const unavailable = Effect.fail(new StoreUnavailable({ reason: "the test says so" }))
  const REASON = "the store is unavailable: the test says so"

  /** A store whose reads fail while `isDown`. */
  const failing = () => {
    const state = { isDown: false }
    const unless = <A, E>(read: Effect.Effect<A, E>) =>
      Effect.suspend(
        (): Effect.Effect<A, E | StoreUnavailable> => (state.isDown ? unavailable : read)
      )
    const flaw = (store: Store): Store => ({
      ...store,
      draw: unless(store.draw),
      progress: unless(store.progress),
      progressOf: (agency) => unless(store.progressOf(agency)),
      winners: unless(store.winners)
    })
    return { state, flaw }
  }

  it.live("does not answer that it has no winners while the store is unavailable", () =>
    Effect.gen(function* () {
      const { flaw, state } = failing()
      const server = yield* startServer([1, 2], { flaw })
      const waiting = yield* RawPeer.connect(server.winnersPort)
      yield* waiting.send(M.consultOf(2))
      // Another server excludes the agency and holds the draw.
      state.isDown = true
      yield* server.store.exclude([2])
      yield* server.store.append(1, 0, BATCH, { last: whole(BATCH) })
      yield* server.store.recordNumber(7574)
      yield* server.store.recordDraw
      yield* server.lottery.lookAgain
      yield* until(server, `sorteo | result: fail | error: ${REASON}`)

      const late = yield* RawPeer.connect(server.winnersPort)
      yield* late.send(M.consultOf(2))
      for (const [bytes, read, expected] of [
        [
          M.helloOf(2),
          M.controlsIn,
          [{ _tag: "Rejected", code: "StoreUnavailable", message: REASON }]
        ],
        [M.chunkOf(2, BETS, true), M.readJson, { type_message: 3, payload: REASON }],
        [M.packetOf(2, BETS, true), (answer: Buffer) => answer, M.REFUSED],
        [M.packet("2;", true), (answer: Buffer) => answer, NOTHING],
        [M.packet("2;", false), (answer: Buffer) => answer, NOTHING]
      ] as const) {
        for (const port of [server.port, server.winnersPort]) {
          expect(read(yield* exchange(port, bytes))).toEqual(expected)
        }
      }
      expect([waiting.unheard(), late.unheard()]).toEqual([0, 0])

      state.isDown = false
      expect(M.readJson(yield* waiting.rest)).toEqual(excludedInJson(2))
      expect(M.readJson(yield* late.rest)).toEqual(excludedInJson(2))
      yield* expectTold(server, [2])
      yield* expectWinners(server, 1)
      // Knows it now, whatever happens to the store.
      state.isDown = true
      yield* expectTold(server, [2])
    })
  )

  it.live("tells it if the book was discarded and the agency excluded just before the draw", () =>
    Effect.gen(function* () {
      const recordNumber = (store: Store): Store["recordNumber"] =>
        Effect.fnUntraced(function* (number) {
          yield* Effect.orDie(store.discard(2, "act"))
          yield* Effect.orDie(store.exclude([2]))
          return yield* store.recordNumber(number)
        })
      const flaw = (store: Store): Store => ({ ...store, recordNumber: recordNumber(store) })
      const server = yield* startServer([1, 2], { flaw })
      const asking = yield* RawPeer.connect(server.winnersPort)
      yield* asking.send(M.consultOf(2))
      const late = yield* RawPeer.connect(server.port)
      yield* late.send(Buffer.concat([M.packetOf(2, BETS, false), M.packet("2;", false)]))
      expect(yield* late.receive(2)).toEqual(M.STORED)
      yield* expectWinners(server, 1)
      expect(M.readJson(yield* asking.rest)).toEqual(excludedInJson(2))
      expect(yield* late.rest).toEqual(NOTHING)
      yield* server.lottery.allTold
    })
  )

  it.live("tells it if it comes while the server finds that out", () =>
    Effect.gen(function* () {
      const isRead = yield* Latch.make()
      const goOn = yield* Latch.make()
      let isSlow = false
      const progressOf = (store: Store): Store["progressOf"] =>
        Effect.fnUntraced(function* (agency) {
          const progress = yield* store.progressOf(agency)
          if (isSlow && agency === 2) {
            yield* isRead.open
            yield* goOn.await
          }
          return progress
        })
      const flaw = (store: Store): Store => ({ ...store, progressOf: progressOf(store) })
      const server = yield* startServer([1, 2], { flaw })
      isSlow = true
      const peer = yield* RawPeer.connect(server.winnersPort)
      yield* peer.send(M.consultOf(2))
      yield* isRead.await
      yield* exclude(server, [2])
      yield* expectWinners(server, 1)
      yield* goOn.open
      expect(M.readJson(yield* peer.rest)).toEqual(excludedInJson(2))
    })
  )
})
