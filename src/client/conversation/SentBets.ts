/** The log lines of bets that the server has acknowledged. */
import { Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"

/** Logs an acknowledged batch of a book of `total` bets, and the bet itself where it is alone. */
export const logSent = Effect.fnUntraced(function* (
  agencia: Agency,
  batch: BetBatch,
  total: number
) {
  yield* logAction("apuestas_enviadas", "success", { agencia, cantidad: batch.count })
  if (total !== 1) return
  for (const { document, number } of batch) {
    yield* logAction("apuesta_enviada", "success", { dni: document, numero: number })
  }
})
