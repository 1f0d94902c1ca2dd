/**
 * Goal: what is sealed depends on the books alone. Method: uploads random books in random batches,
 * in both kinds of dialect, to a lottery that restarts in between, and compares the entries with
 * those of the whole books, except for the time and the salts.
 */
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Deferred, Effect, Logger, Scope } from "effect"
import fc from "fast-check"
import { describe, expect } from "vitest"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import { MarkedHash } from "../../../../src/domain/seal/MarkedDigest.ts"
import { entriesOf } from "../../../../src/domain/seal/Seal.ts"
import type { Superseded } from "../../../../src/server/lottery/Book.ts"
import type { Lottery } from "../../../../src/server/lottery/Lottery.ts"
import type { Discarded, Excluded } from "../../../../src/server/store/BetStore.ts"
import type { StoreUrl } from "../../../../src/server/store/StoreUrl.ts"
import { AGENCIES, bet, drawOf, recordedSeal, serve } from "../../../support/model/SealedLottery.ts"
import { propertyRuns } from "../../../support/propertyRuns.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

/** Enough for three marks. */
const MAX_BETS = 6000
const MAX_CUTS = 3
const SALT = "00".repeat(16)

interface Sent {
  /** The numbers of the bets. */
  readonly bets: number
  readonly first: number
  /** Where the book is cut, as fractions. */
  readonly cuts: ReadonlyArray<number>
  /** Whether the lottery restarts before a batch. */
  readonly restarts: ReadonlyArray<boolean>
  /** Whether the dialect resumes; otherwise it starts over after a restart. */
  readonly resumes: boolean
}

const sent: fc.Arbitrary<Sent> = fc.record({
  bets: fc.oneof(fc.nat(3), fc.nat(MAX_BETS)),
  first: fc.nat(9999),
  cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: MAX_CUTS }),
  restarts: fc.array(
    fc.nat(2).map((one) => one === 0),
    { minLength: MAX_CUTS + 1, maxLength: MAX_CUTS + 1 }
  ),
  resumes: fc.boolean()
})

const bookOf = ({ bets, first }: Sent) =>
  BetBatch.fromBets(
    Array.from({ length: bets }, (_, index) => bet(index, (first + index) % 10_000))
  )

const digestOf = (book: BetBatch) => {
  const hash = new MarkedHash()
  for (const run of book.runs) hash.update(run)
  return hash.digest()
}

const connect = Effect.fnUntraced(function* (lottery: Lottery["Service"], agency: number) {
  const mustLeave = yield* Deferred.make<never, Superseded | Discarded | Excluded>()
  return yield* lottery.upload(agency, { ip: "10.0.0.1", mustLeave, lost: Effect.never })
})

/** Sends one book; `restart` returns another lottery on the same store. */
const send = Effect.fnUntraced(function* (
  agency: number,
  way: Sent,
  started: Lottery["Service"],
  restart: Effect.Effect<Lottery["Service"], unknown>
) {
  const book = bookOf(way)
  const ends = [...way.cuts.map((cut) => Math.floor(cut * book.count)), book.count]
  ends.sort((one, other) => one - other)
  let lottery = started
  let upload = yield* connect(lottery, agency)
  for (let index = 0; index < ends.length; index++) {
    if (way.restarts[index]) {
      lottery = yield* restart
      upload = yield* connect(lottery, agency)
    }
    const end = ends[index]!
    if (way.resumes) {
      const { bets } = yield* upload.resume
      yield* upload.append(bets, book.take(end).drop(bets), () => Effect.void)
    } else {
      const from = upload.position()
      const isLast = index === ends.length - 1
      yield* upload.storeFromStart(book.take(end).drop(from), isLast, () => Effect.void)
    }
  }
  if (way.resumes) yield* upload.finish(book.count, digestOf(book).sha256)
  return lottery
}, Effect.scoped)

const run = Effect.fnUntraced(
  function* (scheme: "sqlite" | "csv", ways: ReadonlyArray<Sent>) {
    const url: StoreUrl = { _tag: scheme, path: join(yield* temporaryFolder, "store") }
    const draw = drawOf({ _tag: "announced" })
    let server = yield* serve(url, draw)
    const restart = Effect.gen(function* () {
      yield* server.stop
      server = yield* serve(url, draw)
      return server.lottery
    }).pipe(Scope.provide(yield* Effect.scope))
    for (const [index, agency] of AGENCIES.entries()) {
      yield* send(agency, ways[index]!, server.lottery, restart)
    }
    yield* server.lottery.evidence!.proofsOf(1)
    const { seal } = yield* recordedSeal(server.store)
    const expected = AGENCIES.map((agency, index) => {
      const book = bookOf(ways[index]!)
      return { ...digestOf(book), agency, bets: book.count, salt: SALT }
    })
    const agencies = seal.agencies.map((found) => ({ ...found, salt: SALT }))
    expect(entriesOf({ ...seal, agencies })).toEqual(entriesOf({ ...seal, agencies: expected }))
  },
  Effect.provide(Logger.layer([])),
  Effect.scoped
)

describe.each(["sqlite", "csv"] as const)("any books in a %s store", (scheme) => {
  it(
    "are sealed alike, however they are cut and whenever the server restarts",
    () =>
      fc.assert(
        fc.asyncProperty(fc.tuple(sent, sent, sent), (ways) =>
          Effect.runPromise(run(scheme, ways))
        ),
        propertyRuns(scheme === "sqlite" ? 4 : 8)
      ),
    120_000
  )
})
