import { createHash } from "node:crypto"
import type { BetBatch } from "../../src/domain/BetBatch.ts"
import type { WholeBook } from "../../src/server/store/BetStore.ts"

/** The argument that marks a book of these batches as finished in a store. */
export const whole = (...batches: ReadonlyArray<BetBatch>): WholeBook => {
  const hash = createHash("sha256")
  for (const batch of batches) hash.update(batch.bytes)
  return { sha256: hash.digest("hex") }
}
