/** A client that checks the sealed draw of a scripted server, with a clock that shows 2023. */
import { NodeFileSystem } from "@effect/platform-node"
import { Effect, Fiber } from "effect"
import * as NativeConversation from "../../../src/client/conversation/NativeConversation.ts"
import type { Vigilance } from "../../../src/client/evidence/DrawWatch.ts"
import { bookOf, keepLog, recordProgress } from "../clientBooks.ts"
import { makeTimeOfDay } from "../TimeOfDay.ts"
import * as ScriptedServer from "./ScriptedServer.ts"
import * as Sealed from "./SealedServer.ts"

/** Starts a client, ten minutes before the round. */
export const begin = Effect.fnUntraced(function* (
  given: Partial<Vigilance> = {},
  startSeconds = Sealed.BEFORE_ROUND
) {
  const clock = yield* makeTimeOfDay(startSeconds)
  const progress = recordProgress()
  const server = yield* ScriptedServer.listen()
  const address = { host: "127.0.0.1", port: server.port }
  const log = keepLog()
  const vigilance = { operator: Sealed.KEY.verifier, evidence: undefined, ...given }
  const fiber = yield* NativeConversation.make(Sealed.AGENCY, Sealed.DRAW, { vigilance })
    .hold(bookOf([Sealed.ROWS]), { server: address, winnersServer: address }, progress)
    .pipe(clock.run, Effect.provide([log.layer, NodeFileSystem.layer]), Effect.forkChild)
  const documents = Fiber.join(fiber)
  /** Waits until the client knows that it waits. */
  const waits = Effect.gen(function* () {
    while (!progress.told.includes("2 of 2")) yield* Effect.yieldNow
  })
  const seals = () => log.lines.filter((line) => line.includes("seal_received"))
  const { accept } = server
  return { accept, documents, fails: Effect.flip(documents), seals, setTime: clock.set, waits }
})
