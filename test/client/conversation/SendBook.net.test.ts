/**
 * Goal: in every dialect, a book that changes during the upload is never finished. Method: the real
 * server, and books in memory that are read differently after the check.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { describe, expect } from "vitest"
import * as BinaryConversation from "../../../src/client/conversation/BinaryConversation.ts"
import * as JsonConversation from "../../../src/client/conversation/JsonConversation.ts"
import * as NativeConversation from "../../../src/client/conversation/NativeConversation.ts"
import { bookOf, recordProgress, rows } from "../../support/clientBooks.ts"
import * as TestServer from "../../support/peers/TestServer.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const conversations = [
  ["binary", BinaryConversation.make(1, 8192)],
  ["json", JsonConversation.make(1)],
  ["native", NativeConversation.make(1, "default")]
] as const

const checked = [rows(0, 2), rows(2, 4)]

for (const [dialect, conversation] of conversations) {
  describe(`in ${dialect}, a book that was checked`, () => {
    for (const [what, then, now] of [
      ["and is shorter now", [rows(0, 2), rows(2, 3)], "only 3"],
      ["and ends a batch earlier now", [rows(0, 2)], "only 2"],
      ["and is empty now", [], "only 0"],
      ["and is longer now", [rows(0, 2), rows(2, 5)], "more"],
      ["and has another batch now", [rows(0, 2), rows(2, 4), rows(4, 5)], "more"],
      ["and has other bets now", [rows(0, 2), rows(6, 8)], "the same number of different bets"]
    ] as const) {
      it.live(`${what} is not finished`, () =>
        Effect.gen(function* () {
          const folder = yield* temporaryFolder
          const server = yield* TestServer.start({ _tag: "csv", path: `${folder}/bets.csv` }, [1])
          const servers = {
            server: { host: "127.0.0.1", port: server.port },
            winnersServer: { host: "127.0.0.1", port: server.winnersPort }
          }
          const book = bookOf(checked, then)
          const error = yield* Effect.flip(conversation.hold(book, servers, recordProgress()))
          expect(error._tag).toBe("BookChanged")
          expect(error.message).toContain(`it had 4 bets and now has ${now}`)
          expect((yield* server.store.progressOf(1)).finished).toBe(false)
        }).pipe(Effect.provide([NodeFileSystem.layer, Logger.layer([])]))
      )
    }

    it.live("and is empty is finished only if it is still empty", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const server = yield* TestServer.start({ _tag: "csv", path: `${folder}/bets.csv` }, [1])
        const servers = {
          server: { host: "127.0.0.1", port: server.port },
          winnersServer: { host: "127.0.0.1", port: server.winnersPort }
        }
        const grown = conversation.hold(bookOf([], [rows(0, 1)]), servers, recordProgress())
        expect(yield* Effect.flip(grown)).toMatchObject({ _tag: "BookChanged", read: 1 })
        expect((yield* server.store.progressOf(1)).finished).toBe(false)
        const empty = yield* conversation.hold(bookOf([]), servers, recordProgress())
        expect(empty).toEqual([])
        expect((yield* server.store.progressOf(1)).finished).toBe(true)
      }).pipe(Effect.provide([NodeFileSystem.layer, Logger.layer([])]))
    )
  })
}
