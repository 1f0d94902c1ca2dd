/**
 * Goal: at whatever stage a connection is lost, the client resumes at the server's stored position.
 * Method: a scripted server on a real socket that closes or resets the connection at each stage.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, expect } from "vitest"
import type { Book } from "../../../src/client/book/Book.ts"
import * as NativeConversation from "../../../src/client/conversation/NativeConversation.ts"
import { bookOf, keepLog, recordProgress, rows } from "../../support/clientBooks.ts"
import * as Agency from "../../support/peers/AgencyEnd.ts"
import * as ScriptedServer from "../../support/peers/ScriptedServer.ts"

const book = bookOf([rows(0, 2), rows(2, 4), rows(4, 6)])
const whole = rows(0, 6)

const hold = Effect.fnUntraced(function* (port: number, sent: Book) {
  const server = { host: "127.0.0.1", port }
  const progress = recordProgress()
  const log = keepLog()
  const fiber = yield* NativeConversation.make(3, "default")
    .hold(sent, { server, winnersServer: server }, progress)
    .pipe(Effect.provide([log.layer, NodeFileSystem.layer]), Effect.forkChild)
  return { documents: Fiber.join(fiber), told: progress.told, log: log.lines }
})

/** Serves a whole conversation with a client whose bets in `stored` are already stored. */
const serve = Effect.fnUntraced(function* (agency: Agency.AgencyEnd, stored: string, done = false) {
  yield* Agency.hello(agency)
  yield* Agency.say(agency, Agency.welcome(stored, { finished: done }))
  let position = stored.split("\n").length - 1
  while (position < 6) {
    const bets = yield* Agency.bets(agency)
    expect(bets.position).toBe(position)
    position += bets.count
    yield* Agency.say(agency, Agency.ack(position))
  }
  if (!done) {
    expect(yield* Agency.control(agency)).toMatchObject({ _tag: "Finish", bets: 6 })
    yield* Agency.say(agency, Agency.finished(whole))
  }
  expect(yield* Agency.control(agency)).toEqual({ _tag: "AwaitWinners" })
  yield* Agency.say(agency, Agency.winners(["7"]))
})

interface Stage {
  /** What the server does before the connection is lost. */
  readonly before: (agency: Agency.AgencyEnd) => Effect.Effect<unknown>
  /** The rows that are stored then. */
  readonly stored: string
  readonly done?: boolean
}

const welcomed = (agency: Agency.AgencyEnd, stored = "", more = {}) =>
  Effect.andThen(Agency.hello(agency), Agency.say(agency, Agency.welcome(stored, more)))

const stages: Readonly<Record<string, Stage>> = {
  "before the first byte": { before: () => Effect.void, stored: "" },
  "after Hello": { before: Agency.hello, stored: rows(0, 3) },
  "after Welcome": { before: (agency) => welcomed(agency), stored: "" },
  "after bets that it did not store": {
    before: (agency) => Effect.andThen(welcomed(agency), Agency.bets(agency)),
    stored: ""
  },
  "after it stored more bets than it acknowledged": {
    before: Effect.fnUntraced(function* (agency) {
      yield* welcomed(agency)
      yield* Agency.bets(agency)
      yield* Agency.say(agency, Agency.ack(2))
      yield* Agency.bets(agency)
    }),
    stored: rows(0, 4)
  },
  "after Finish, which it carried out": {
    before: (agency) => Effect.andThen(welcomed(agency, whole), Agency.control(agency)),
    stored: whole,
    done: true
  },
  "after Finish, which it did not carry out": {
    before: (agency) => Effect.andThen(welcomed(agency, whole), Agency.control(agency)),
    stored: whole
  },
  "while the agency waits": {
    before: Effect.fnUntraced(function* (agency) {
      yield* welcomed(agency, whole, { finished: true })
      yield* Agency.control(agency)
      yield* Agency.say(agency, { _tag: "Waiting", finished: 1, expected: 2 })
    }),
    stored: whole,
    done: true
  },
  "between two frames of winners": {
    before: Effect.fnUntraced(function* (agency) {
      yield* welcomed(agency, whole, { finished: true })
      yield* Agency.control(agency)
      yield* Agency.say(agency, Agency.winners(["7", "8"], true))
    }),
    stored: whole,
    done: true
  }
}

describe("after a lost connection", () => {
  for (const how of ["close", "reset"] as const) {
    for (const [when, { before, done, stored }] of Object.entries(stages)) {
      it.live(`the client resumes: ${how} ${when}`, () =>
        Effect.gen(function* () {
          const server = yield* ScriptedServer.listen()
          const { documents, log } = yield* hold(server.port, book)
          const first = yield* server.accept
          yield* before(first)
          yield* first[how]
          yield* serve(yield* server.accept, stored, done)
          expect(yield* documents).toEqual(["7"])
          const failed = log.filter((line) => line.includes("action: connection"))
          expect(failed).toHaveLength(1)
          expect(failed[0]).toMatch(
            /^WARNING .*connection \| result: fail \| agencia: 3 \| error: connection lost: /
          )
          const resumed = log.filter((line) => line.includes("upload_resumed")).at(-1)
          if (done || stored === "") return
          expect(resumed).toContain(`posicion: ${stored.split("\n").length - 1}`)
        })
      )
    }
  }

  it.live("the client connects once the server starts", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.scoped(ScriptedServer.listen())
      const { documents, told } = yield* hold(port, book)
      yield* Effect.sleep("250 millis")
      const server = yield* ScriptedServer.listen(port)
      yield* serve(yield* server.accept, "")
      expect(yield* documents).toEqual(["7"])
      expect(told[0]).toMatch(/^cannot reach 127.0.0.1:\d+: connect ECONNREFUSED/)
    })
  )

  it.live("the client retries a server that shuts down or is busy, but not if superseded", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.listen()
      const { documents, told } = yield* hold(server.port, book)
      for (const code of ["ShuttingDown", "Busy"]) {
        const agency = yield* server.accept
        yield* Agency.hello(agency)
        yield* Agency.say(agency, Agency.rejected(code))
        yield* agency.close
      }
      const last = yield* server.accept
      yield* welcomed(last)
      yield* Agency.say(last, Agency.rejected("Superseded"))
      yield* last.close
      expect(yield* Effect.flip(documents)).toMatchObject({ _tag: "Refused", code: "Superseded" })
      expect(told).toEqual([
        "the server refused (ShuttingDown): the reason",
        "the server refused (Busy): the reason",
        0
      ])
    })
  )
})

it.live("a refusal is received although the server reads nothing", () =>
  Effect.gen(function* () {
    const rowsOfFrame = rows(1_000_000, 1_000_000 + 20_000)
    const frames = Array.from({ length: 20 }, () => rowsOfFrame)
    const server = yield* ScriptedServer.listen()
    const { documents } = yield* hold(server.port, bookOf(frames))
    const agency = yield* server.accept
    yield* welcomed(agency, "", { window: 100 })
    yield* Agency.bets(agency)
    yield* Agency.say(agency, Agency.rejected("InvalidBet", { position: 7 }))
    yield* agency.close
    expect(yield* Effect.flip(documents)).toMatchObject({ code: "InvalidBet", position: 7 })
  })
)

it.live("the book is not sent again to a server that lost acknowledged bets", () =>
  Effect.gen(function* () {
    const server = yield* ScriptedServer.listen()
    const { documents } = yield* hold(server.port, book)
    const first = yield* server.accept
    yield* welcomed(first)
    yield* Agency.bets(first)
    yield* Agency.say(first, Agency.ack(2))
    yield* first.close
    yield* welcomed(yield* server.accept, rows(0, 1))
    const error = yield* Effect.flip(documents)
    expect(error).toMatchObject({ _tag: "BookGone", acknowledged: 2, stored: 1 })
    expect(error.message).toContain("agency 3: the server acknowledged 2 bets but now has 1")
  })
)
