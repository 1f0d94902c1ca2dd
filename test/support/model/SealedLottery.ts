/** A lottery without ports, on a real store, with its control channel; for sealed draws. */
import { Context, Effect, Exit, Layer, Logger, Result, Scope } from "effect"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { Draw, type NumberSource } from "../../../src/domain/Draw.ts"
import { openSealFile, showSealFile } from "../../../src/protocol/notes/SealFile.ts"
import type * as Barrier from "../../../src/server/lottery/Barrier.ts"
import { Lottery } from "../../../src/server/lottery/Lottery.ts"
import * as ControlServer from "../../../src/server/operator/control/ControlServer.ts"
import { ControlSocket } from "../../../src/server/operator/control/ControlSocket.ts"
import { BetStore, type BetStore as Store } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { SEAL_VKEY, sealKey, verifierKey } from "../sealKey.ts"
import { whole } from "../wholeBook.ts"

export const AGENCIES = [1, 2, 7] as const

/** A draw of three agencies, with the key or without one. */
export const drawOf = (source: NumberSource, isSealed = true) =>
  new Draw({
    id: "default",
    agencies: AGENCIES,
    source,
    ...(isSealed && { sealKey: SEAL_VKEY })
  })

export const bet = (document: number, number: number) =>
  new Bet({
    firstName: "Ana",
    lastName: "Pérez",
    document: String(document),
    birthdate: "1999-03-17",
    number
  })

/** The books of the agencies: one bet, none, and enough for two marks. */
export const BOOKS: Readonly<Record<number, BetBatch>> = {
  1: BetBatch.fromBets([bet(30904465, 7574)]),
  2: BetBatch.empty,
  7: BetBatch.fromBets(Array.from({ length: 5000 }, (_, index) => bet(index, (2 * index) % 10_000)))
}

export type Flaw = (store: Store["Service"]) => Store["Service"]

/** Starts a lottery; it stops with the scope, or before by `stop`. */
export const serve = Effect.fnUntraced(function* (
  url: StoreUrl.StoreUrl,
  draw: Draw,
  options: Barrier.Options = {},
  flaw: Flaw = (store) => store
) {
  const log: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => void log.push(String(message)))
  const key = draw.sealKey === undefined ? undefined : sealKey
  const layer = ControlServer.layer.pipe(
    Layer.provideMerge(Lottery.layer(draw, { sealKey: key, drandUrls: [], ...options })),
    Layer.provideMerge(Layer.effect(BetStore, Effect.map(BetStore, flaw))),
    Layer.provide(StoreUrl.layerLocked(draw.id)),
    Layer.provide(ControlSocket.layer),
    Layer.provide(StoreUrl.layerLock(url)),
    Layer.provideMerge(Logger.layer([logger]))
  )
  const scope = yield* Scope.fork(yield* Effect.scope)
  const services = yield* Scope.provide(Layer.build(layer), scope)
  return {
    lottery: Context.get(services, Lottery),
    store: Context.get(services, BetStore),
    log,
    logged: (action: string) => log.filter((line) => line.startsWith(`action: ${action} `)),
    stop: Scope.close(scope, Exit.void)
  }
})

/** Finishes the book of an agency in the store. */
export const finish = Effect.fnUntraced(function* (
  store: Store["Service"],
  agency: number,
  book = BOOKS[agency]!
) {
  if (book.count === 0) yield* store.finish(agency, 0, whole())
  else yield* store.append(agency, 0, book, { last: whole(book) })
})

export const finishAll = ({
  lottery,
  store
}: {
  readonly lottery: Lottery["Service"]
  readonly store: Store["Service"]
}) =>
  Effect.andThen(
    Effect.forEach(AGENCIES, (agency) => finish(store, agency), { discard: true }),
    lottery.lookAgain
  )

/** Opens the seal that is recorded; dies if it is not as the format says. */
export const recordedSeal = (store: Store["Service"]) =>
  Effect.map(store.evidence, ({ entries = "", seal: note = "" }) =>
    Result.getOrThrow(openSealFile(showSealFile({ entries, note }), verifierKey))
  )
