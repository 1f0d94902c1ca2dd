/**
 * Verifies a sealed draw from files alone (docs/sealed-draw.md). Every step goes on after a failed
 * check of another, so that everything forged is named; without a seal there is nothing to compare.
 */
import { Effect, Result } from "effect"
import { checkBooks } from "./BookCheck.ts"
import { note } from "./Check.ts"
import type { Given } from "./Given.ts"
import { checkNumber } from "./NumberCheck.ts"
import { checkOrder } from "./OrderCheck.ts"
import { checkReceipts } from "./ReceiptCheck.ts"
import * as Report from "./Report.ts"
import { checkSeal, openSeal } from "./SealCheck.ts"

/** What no file can show (docs/sealed-draw.md). */
const LIMITS = note(
  "limits",
  "no file can show that people bought these bets; only their tickets can"
)

export const verify = Effect.fn("Verify.verify")(function* (given: Given) {
  const opened = openSeal(given)
  if (Result.isFailure(opened)) return Report.make(undefined, [opened.failure])
  const sealed = opened.success
  const { seal } = sealed
  const found = yield* checkNumber(given, sealed)
  return Report.make(seal.draw, [
    ...checkSeal(given, sealed),
    ...checkReceipts(given, sealed),
    ...checkOrder(given, sealed),
    ...found.checks,
    ...(yield* checkBooks(given, seal, found)),
    LIMITS
  ])
})
