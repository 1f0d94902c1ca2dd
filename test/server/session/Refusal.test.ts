/** Goal: the code of a refusal tells a client whether it may retry. */
import { Duration, Effect, Logger } from "effect"
import { describe, expect, it } from "vitest"
import type { ActionLine } from "../../../src/domain/ActionLog.ts"
import { Draw, fixedNumber } from "../../../src/domain/Draw.ts"
import { BadMessage } from "../../../src/protocol/BytesCodec.ts"
import { FrameTooLarge } from "../../../src/protocol/native/NativeFrames.ts"
import { isRetryable } from "../../../src/protocol/native/NativeMessages.ts"
import { Unauthorized } from "../../../src/server/admission/Identity.ts"
import { Refusals } from "../../../src/server/admission/Refusals.ts"
import { TooSlow } from "../../../src/server/admission/Timeouts.ts"
import { Superseded } from "../../../src/server/lottery/Book.ts"
import { BookDiffers } from "../../../src/server/lottery/Comparison.ts"
import { UnknownAgency } from "../../../src/server/lottery/Lottery.ts"
import { DigestMismatch } from "../../../src/server/lottery/Upload.ts"
import { noteRefusal, Refusal, toRejected } from "../../../src/server/session/Refusal.ts"
import * as BetStore from "../../../src/server/store/BetStore.ts"
import { DrawMissed } from "../../../src/server/store/StoredDraw.ts"

const agency = 1
const draw = new Draw({ id: "default", agencies: [2], source: fixedNumber(1) })
const slow = { expected: "a byte", timeout: Duration.seconds(1), bytes: 0, shown: "" }

/** Refusals that may be gone on a retry. */
const temporary = [
  new BetStore.StoreUnavailable({ reason: "full" }),
  new BetStore.StoreBroken({ reason: "damaged" }),
  new BetStore.DamagedBet({ agency, position: 0, reason: "changed" }),
  new BetStore.Conflict({ agency, position: 1, expected: 2 }),
  new BetStore.Conflict({ agency, position: 3, expected: 2 }),
  new TooSlow(slow)
]

/** Refusals that a person has to act on. */
const permanent = [
  new BadMessage({ reason: "no" }),
  new BadMessage({ reason: "no", position: 1, index: 2 }),
  new FrameTooLarge({ length: 2, limit: 1 }),
  new UnknownAgency({ agency, draw }),
  new Unauthorized({ agency, reason: "no" }),
  new BookDiffers({ agency, position: 0 }),
  new BetStore.BookMismatch({ agency, bets: 1, stored: 2 }),
  new DigestMismatch({ agency, bets: 1 }),
  new BetStore.AlreadyFinished({ agency, bets: 1 }),
  new Superseded({ agency, by: "10.0.0.1" }),
  new DrawMissed({ drawId: "default", round: 1000 }),
  new BetStore.Discarded({ agency })
]

describe("a refusal", () => {
  it.each([
    ["temporary", temporary, true],
    ["permanent", permanent, false]
  ] as const)("that is %s has a code that says so", (_what, refusals, mayRetry) => {
    for (const refusal of refusals) {
      expect(isRetryable(toRejected(refusal).code), refusal._tag).toBe(mayRetry)
    }
  })

  it("is logged with the number of refused bets, unless the peer must disconnect", () => {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => {
      lines.push(String((message as ReadonlyArray<ActionLine>)[0]))
    })
    const refused = { ip: "10.0.0.2", upload: undefined, isAsking: false }
    const reasons = [new BetStore.BookMismatch({ agency, bets: 1, stored: 2 }), permanent.at(-1)!]
    for (const reason of reasons) {
      const logged = noteRefusal(refused, new Refusal({ reason, count: 5 }))
      Effect.runSync(Effect.provide(logged, [Logger.layer([logger]), Refusals.layer]))
    }
    expect(lines.map((line) => line.includes("cantidad: 5"))).toEqual([true, false])
  })
})
