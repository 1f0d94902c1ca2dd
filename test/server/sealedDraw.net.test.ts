/**
 * Goal: a client that checks everything goes through a whole sealed draw of a real server, with
 * each source of the number. Method: real sockets and a real store; the clock of both shows a day
 * of 2023, because the rounds of drand are real.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { expect } from "vitest"
import * as NativeConversation from "../../src/client/conversation/NativeConversation.ts"
import type { NumberSource } from "../../src/domain/Draw.ts"
import { bookOf, keepLog, recordProgress } from "../support/clientBooks.ts"
import * as Sealed from "../support/peers/SealedServer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"
import { makeTimeOfDay } from "../support/TimeOfDay.ts"

const SOURCES: Readonly<Record<string, NumberSource>> = {
  fixed: Sealed.FIXED.rule,
  announced: Sealed.ANNOUNCED.rule,
  "drand at a round": Sealed.AT_ROUND.rule,
  "drand after a delay": { _tag: "drand", at: { delaySeconds: 600 } }
}

for (const [name, source] of Object.entries(SOURCES)) {
  it.live(`a client believes a real server: ${name}`, () =>
    Effect.gen(function* () {
      const clock = yield* makeTimeOfDay(Sealed.BEFORE_ROUND)
      yield* Effect.gen(function* () {
        const path = `${yield* temporaryFolder}/lottery.db`
        const options = { source, sealKey: Sealed.KEY }
        const server = yield* TestServer.start({ _tag: "sqlite", path }, [1, 3], 7574, options)
        const address = { host: "127.0.0.1", port: server.port }
        const log = keepLog()
        const vigilance = { operator: Sealed.KEY.verifier, evidence: undefined }
        const hold = (agency: number) =>
          NativeConversation.make(agency, "default", { vigilance })
            .hold(
              bookOf([Sealed.ROWS]),
              { server: address, winnersServer: address },
              recordProgress()
            )
            .pipe(Effect.provide([log.layer, NodeFileSystem.layer]), Effect.forkChild)
        const clients = [yield* hold(1), yield* hold(3)]
        const seals = () => log.lines.filter((line) => line.includes("seal_received"))
        while (seals().length < 2) yield* Effect.sleep("2 millis")
        if (source._tag !== "fixed") {
          yield* clock.set(Sealed.AFTER_ROUND)
          const beacon = source._tag === "drand" ? Sealed.ROUNDS[1000] : undefined
          yield* server.store.recordNumber(Sealed.NUMBER, beacon)
          yield* server.lottery.lookAgain
        }
        for (const client of clients) expect(yield* Fiber.join(client)).toEqual(["10", "12", "10"])
        const [one, other] = seals().map((line) => /root: \S+/.exec(line)?.[0])
        expect(one).toBe(other)
        expect(log.lines.join()).not.toContain("unproven")
      }).pipe(clock.run)
    })
  )
}
