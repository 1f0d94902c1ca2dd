/**
 * Goal: a connection notices a draw that is held at any moment of its wait, even while its fiber
 * yields to others between a look and the wait. Method: a lottery that is decided right after the
 * first look, with fibers that yield after a few operations.
 */
import { it } from "@effect/vitest"
import { Deferred, Effect, Layer, References } from "effect"
import { expect } from "vitest"
import { Draw, fixedNumber } from "../../../src/domain/Draw.ts"
import { Memory, MessageMemory } from "../../../src/server/admission/MessageMemory.ts"
import { defaultLimits } from "../../../src/server/admission/ServerLimits.ts"
import type { BookConnection } from "../../../src/server/lottery/Book.ts"
import { Lottery } from "../../../src/server/lottery/Lottery.ts"
import { Standings } from "../../../src/server/lottery/Standing.ts"
import { WaitingRoom } from "../../../src/server/lottery/WaitingRoom.ts"
import { awaitDraw } from "../../../src/server/session/AwaitDraw.ts"
import * as Pending from "../../../src/server/session/Pending.ts"
import * as ModelConnection from "../../support/model/ModelConnection.ts"

const WINNERS = { documents: ["10"], winningNumber: 7574, result: undefined }

it.live("a draw that is held between a look and the wait is noticed", () =>
  Effect.gen(function* () {
    for (let operations = 3; operations <= 12; operations++) {
      const standings = new Standings([1])
      const waitingRoom = new WaitingRoom(standings)
      let isDecided = false
      const lottery = Layer.mock(Lottery, {
        draw: new Draw({ id: "default", agencies: [1], source: fixedNumber(7574) }),
        standings,
        waitingRoom,
        evidence: undefined,
        isDecided: () => {
          const seen = isDecided
          isDecided = true
          if (!seen) queueMicrotask(() => waitingRoom.wake(1))
          return seen
        },
        winnersOf: () => Effect.succeed(WINNERS),
        overview: () => {
          throw new Error("not used")
        },
        activityOf: () => undefined,
        counts: () => ({ stored: 0, repeated: 0 })
      })
      const memory = Memory.make(defaultLimits.maxMemoryBytes)
      const held = new MessageMemory(memory, "127.0.0.1", memory.makeShare())
      const { connection } = ModelConnection.make(held.room)
      const accepted = Effect.void
      const peer = { ip: "127.0.0.1", connection, memory: held, certificate: undefined, accepted }
      const mustLeave: BookConnection["mustLeave"] = Deferred.makeUnsafe()
      const decided = () => Effect.undefined
      const waiting = Pending.run(awaitDraw(peer, 1, mustLeave, undefined, decided)).pipe(
        Effect.scoped,
        Effect.provide(lottery),
        Effect.provideService(References.MaxOpsBeforeYield, operations),
        Effect.timeoutOption("2 seconds")
      )
      expect([operations, (yield* waiting)._tag]).toEqual([operations, "Some"])
    }
  })
)
