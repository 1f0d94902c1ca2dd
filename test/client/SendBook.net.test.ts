/** Goal: a book that changes while it is sent is never finished as another one. */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Logger, Stream } from "effect"
import { expect } from "vitest"
import * as BinaryConversation from "../../src/client/BinaryConversation.ts"
import * as JsonConversation from "../../src/client/JsonConversation.ts"
import { Bet } from "../../src/domain/Bet.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"
import * as TestServer from "../support/TestServer.ts"

const batchOf = (bets: number): BetBatch =>
  BetBatch.fromBets(
    Array.from(
      { length: bets },
      (_, index) =>
        new Bet({
          firstName: "Ana",
          lastName: "Perez",
          document: String(index),
          birthdate: "1999-03-17",
          number: 7574
        })
    )
  )

const conversations = [
  ["binary", BinaryConversation.make(1, 8192)],
  ["json", JsonConversation.make(1)]
] as const

for (const [dialect, conversation] of conversations) {
  for (const [what, total, message] of [
    ["shorter", 5, "it had 5 bets, now it has only 4"],
    ["longer", 3, "it had 3 bets, now it has more"]
  ] as const) {
    it.live(`a book that became ${what} is not finished, in ${dialect}`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const server = yield* TestServer.start({ _tag: "csv", path: `${folder}/bets.csv` }, [1])
        const book = { total, batches: Stream.make(batchOf(2), batchOf(2)) }
        const servers = {
          server: { host: "127.0.0.1", port: server.port },
          winnersServer: { host: "127.0.0.1", port: server.winnersPort }
        }
        const error = yield* Effect.flip(conversation.hold(book, servers))
        expect(error._tag).toBe("BookChanged")
        expect(error.message).toContain(message)
        expect((yield* server.store.progressOf(1)).finished).toBe(false)
      }).pipe(Effect.provide([NodeFileSystem.layer, Logger.layer([])]))
    )
  }
}
