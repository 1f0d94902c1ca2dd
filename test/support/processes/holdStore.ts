/**
 * A process that keeps a store open until it is killed: `node holdStore.ts sqlite:PATH`. It appends
 * a batch and then prints a line.
 */
import { Effect, Schema } from "effect"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"

const bet = new Bet({
  firstName: "Ana",
  lastName: "López",
  document: "30904465",
  birthdate: "1999-03-17",
  number: 7574
})

const program = Effect.gen(function* () {
  const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(process.argv[2] ?? "")
  const hold = Effect.gen(function* () {
    const store = yield* BetStore
    const { bets } = yield* store.progressOf(1)
    yield* store.append(1, bets, BetBatch.fromBets([bet]))
    yield* Effect.sync(() => process.stdout.write(`holding ${bets + 1}\n`))
    yield* Effect.never
  })
  yield* Effect.provide(hold, StoreUrl.layer(url, "default"))
})

// Keeps the process alive until it is killed.
setInterval(() => {}, 60_000)
Effect.runPromise(program).catch((error: unknown) => {
  process.stderr.write(`${error}\n`)
  process.exit(1)
})
