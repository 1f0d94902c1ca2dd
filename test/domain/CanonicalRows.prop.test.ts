/**
 * Goal: rows from outside are taken where they are canonical rows of bets, and only there. Method:
 * rows of random bets, and the same with bytes changed; what is accepted must be what comes out
 * when its bets are decoded by their Schemas and written anew.
 */
import { it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../src/domain/Bet.ts"
import { BetBatch, BetBatchSchema } from "../../src/domain/BetBatch.ts"
import { batchFromRows } from "../../src/domain/CanonicalRows.ts"

const runs = process.env.LOTTERY_TEST_LONG ? 50_000 : 2_000

const Changes = Schema.Array(
  Schema.Struct({
    at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5_000 })),
    // The bytes that matter to a row, and some that do not.
    byte: Schema.Literals([0x22, 0x2c, 0x0a, 0x0d, 0x30, 0x37, 0x41, 0x20, 0xc3, 0xff])
  })
).check(Schema.isMinLength(1), Schema.isMaxLength(3))

describe("rows from outside", () => {
  it.effect.prop(
    "are taken as they are where they are a batch's own",
    [BetBatchSchema],
    ([batch]) =>
      Effect.sync(() => {
        const taken = Result.getOrThrow(batchFromRows(batch.bytes, batch.count))
        expect(taken.bytes).toBe(batch.bytes)
        expect(taken.count).toBe(batch.count)
      }),
    { arbitrary: { runs } }
  )

  it.effect.prop(
    "that were changed are refused, or are the rows of other bets",
    [BetBatchSchema, Changes],
    ([batch, changes]) =>
      Effect.sync(() => {
        const bytes = batch.bytes.slice()
        if (bytes.length === 0) return
        for (const { at, byte } of changes) bytes[at % bytes.length] = byte
        const count = bytes.filter((byte) => byte === 0x0a).length
        const result = batchFromRows(bytes, count)
        if (Result.isFailure(result)) return expect(result.failure.reason).not.toBe("")
        const checked = [...result.success].map((bet) =>
          Schema.decodeSync(Bet)({ ...bet, number: String(bet.number) })
        )
        expect(BetBatch.fromBets(checked).bytes).toEqual(bytes)
      }),
    { arbitrary: { runs } }
  )
})
