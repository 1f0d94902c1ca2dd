/**
 * Goal: only canonical rows of valid bets are accepted. Method: rows of random bets, some with
 * changed bytes. Decoding accepted rows with the Schemas and encoding them again must not change
 * them.
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
    byte: Schema.Literals([0x22, 0x2c, 0x0a, 0x0d, 0x30, 0x37, 0x41, 0x20, 0xc3, 0xff])
  })
).check(Schema.isMinLength(1), Schema.isMaxLength(3))

describe("rows from a peer", () => {
  it.effect.prop(
    "are used without a copy if they are canonical",
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
    "with changed bytes are refused, or are canonical rows of other bets",
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
