/**
 * Goal: a client refuses a receipt, a proof or a result of which one bit is changed on the wire.
 * Method: the bits of what an honest server signs are changed in its frame, one at a time.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, type FileSystem, Result } from "effect"
import { describe, expect } from "vitest"
import * as DrawWatch from "../../../src/client/evidence/DrawWatch.ts"
import { decoder } from "../../../src/protocol/BytesCodec.ts"
import { NativeReplyFromBytes } from "../../../src/protocol/native/NativeFrames.ts"
import type { NativeReply } from "../../../src/protocol/native/NativeMessages.ts"
import { bookOf, keepLog } from "../../support/clientBooks.ts"
import * as Agency from "../../support/peers/AgencyEnd.ts"
import { controlFrame } from "../../support/peers/messages.ts"
import * as Sealed from "../../support/peers/SealedServer.ts"
import { makeTimeOfDay } from "../../support/TimeOfDay.ts"

/** Every seventh bit is one of each place in a byte, in turn. */
const STEP = process.env.LOTTERY_TEST_LONG ? 1 : 7

const SAID = Sealed.honestly(Sealed.AT_ROUND)
const { documents, number, receipt, result, seal } = SAID
const WAITING = { _tag: "Waiting", finished: 2, expected: 2 }

/** What the server says, in order. */
const FRAMES = [
  { ...Agency.finished(Sealed.ROWS), receipt },
  { ...WAITING, seal },
  { ...Agency.winners(documents), number, result }
].map(controlFrame)

const decode = decoder(NativeReplyFromBytes)

const take = (watch: DrawWatch.DrawWatch, reply: NativeReply) => {
  switch (reply._tag) {
    case "Finished":
      return watch.finished(reply, undefined)
    case "Waiting":
      return watch.waiting(reply)
    case "Winners":
      return Effect.andThen(watch.drawn(reply), watch.told(reply.documents))
    default:
      return Effect.die(new Error(`unexpected ${reply._tag}`))
  }
}

/** Hands the frames to a new watch; returns what it ends with, undefined for an honest draw. */
const outcomeOf = (
  frames: ReadonlyArray<Uint8Array>
): Effect.Effect<string | undefined, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const book = bookOf([Sealed.ROWS])
    const { AGENCY: agency, DRAW: draw } = Sealed
    const operator = Sealed.KEY.verifier
    const watch = DrawWatch.make({ agency, draw, book, operator, evidence: undefined })
    for (const frame of frames) {
      const reply = decode(frame)
      if (Result.isFailure(reply)) return "BadMessage"
      const taken = yield* Effect.result(take(watch, reply.success))
      if (Result.isFailure(taken)) return taken.failure._tag
    }
    return undefined
  })

describe("a signed document", () => {
  for (const [what, at, texts] of [
    ["receipt", 0, [receipt]],
    ["proof", 1, seal],
    ["result", 2, [result]]
  ] as const) {
    it.live(`is refused with one bit changed: ${what}`, () =>
      Effect.gen(function* () {
        const clock = yield* makeTimeOfDay(Sealed.BEFORE_ROUND)
        const frame = FRAMES[at] ?? Buffer.alloc(0)
        const outcome = (frames: ReadonlyArray<Uint8Array>) => clock.run(outcomeOf(frames))
        expect(yield* outcome(FRAMES)).toBeUndefined()
        for (const text of texts ?? []) {
          const encoded = JSON.stringify(text)
          const start = frame.indexOf(encoded)
          expect(start).toBeGreaterThan(0)
          for (let bit = 8; bit < 8 * (Buffer.byteLength(encoded) - 1); bit += STEP) {
            const changed = Buffer.from(frame)
            const byte = start + Math.floor(bit / 8)
            changed.writeUInt8(changed.readUInt8(byte) ^ (1 << (bit % 8)), byte)
            const found = yield* outcome(FRAMES.with(at, changed))
            expect(["BadMessage", "BrokenPromise"], `bit ${bit} of ${text}`).toContain(found)
          }
        }
      }).pipe(Effect.provide([NodeFileSystem.layer, keepLog().layer]))
    )
  }
})
