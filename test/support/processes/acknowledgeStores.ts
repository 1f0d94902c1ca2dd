/**
 * A process that prints a line after each write: `node acknowledgeStores.ts URL...`. It opens the
 * stores and prints how many bets each has. In an empty store it performs every kind of write. Then
 * it kills itself.
 */
import { randomUUID } from "node:crypto"
import { writeSync } from "node:fs"
import { Context, Effect, Layer, Schema } from "effect"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { Draw, fixedNumber } from "../../../src/domain/Draw.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { whole } from "../wholeBook.ts"

const draw = new Draw({ id: "default", agencies: [1, 2, 3], source: fixedNumber(7574) })
const batch = BetBatch.fromBets([
  new Bet({
    firstName: "Ana",
    lastName: "López",
    document: "30904465",
    birthdate: "1999-03-17",
    number: 7574
  })
])

/** Prints a line in a single system call, so that a tracer sees it. */
const say = (line: string) => Effect.sync(() => writeSync(1, `${line}\n`))

const open = Effect.fnUntraced(function* (text: string) {
  const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(text)
  const services = yield* Layer.build(StoreUrl.layer(url, draw.id))
  return { scheme: url._tag, store: Context.get(services, BetStore) }
})

const acknowledge = Effect.fnUntraced(function* ({
  scheme,
  store
}: Effect.Success<ReturnType<typeof open>>) {
  const { bets } = yield* store.progressOf(1)
  yield* say(`${scheme}: opened with ${bets}`)
  if (bets > 0) return
  const steps: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
    ["the draw", store.openDraw(draw)],
    ["bets", store.append(1, 0, batch)],
    ["bets of another", store.append(2, 0, batch)],
    ["a discard", store.discard(2, randomUUID())],
    ["the last bets", store.append(1, 1, batch, { last: whole(batch, batch) })],
    ["the end of a book", store.finish(2, 0, whole())],
    ["a moved close", store.moveClose(Date.parse("2099-12-01"))],
    ["an exclusion", store.exclude([3])],
    ["the number", store.recordNumber(7574)],
    ["the held draw", store.recordDraw],
    ["who was told", store.told(1)]
  ]
  for (const [what, step] of steps) yield* Effect.andThen(step, say(`${scheme}: ${what}`))
})

const program = Effect.gen(function* () {
  const stores = yield* Effect.forEach(process.argv.slice(2), open)
  yield* Effect.forEach(stores, acknowledge)
  process.kill(process.pid, "SIGKILL")
})
Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stderr.write(`${error}\n`)
  process.exit(1)
})
