import { createHash } from "node:crypto"
import type { BetBatch } from "../../src/domain/BetBatch.ts"
import type { WholeBook } from "../../src/server/store/BetStore.ts"

/** What a store is told of a book that is whole with these batches. */
export const whole = (...batches: ReadonlyArray<BetBatch>): WholeBook => {
  const hash = createHash("sha256")
  for (const batch of batches) hash.update(batch.bytes)
  return { sha256: hash.digest("hex") }
}
