/** `lottery export`: the stored bets on standard output. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type { BetBatch } from "../domain/BetBatch.ts"
import { LF } from "../domain/BetRow.ts"
import { BetStoreReader } from "../server/BetStore.ts"
import * as StoreUrl from "../server/store/StoreUrl.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"
import * as StoreSetting from "./StoreSetting.ts"
import * as sharedSettings from "./sharedSettings.ts"

/** The rows of a batch, each with its agency before it. */
const withAgency = (agency: number, { bytes, count }: BetBatch): Uint8Array => {
  const prefix = Buffer.from(`${agency},`)
  const rows = Buffer.alloc(bytes.length + count * prefix.length)
  let at = 0
  let start = 0
  while (start < bytes.length) {
    const end = bytes.indexOf(LF, start) + 1
    at += prefix.copy(rows, at)
    rows.set(bytes.subarray(start, end), at)
    at += end - start
    start = end
  }
  return rows
}

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  agency: Setting.optional("agency", {
    description: "Only this agency's book, as the five fields of a bet",
    schema: SettingText.AgencyFromText,
    metavar: "number"
  })
}

export const exportCommand = Command.make(
  "export",
  settings,
  Effect.fnUntraced(function* ({ agency, draw, store }) {
    const { stdout } = yield* Stdio.Stdio
    const rows = Effect.gen(function* () {
      const books = yield* BetStoreReader
      if (Option.isSome(agency)) {
        return Stream.map(books.book(agency.value, 0), ({ bytes }) => bytes)
      }
      const agencies = (yield* books.progress).keys()
      return Stream.fromIterable(agencies).pipe(
        Stream.flatMap((one) => Stream.map(books.book(one, 0), (batch) => withAgency(one, batch)))
      )
    })
    yield* Stream.unwrap(rows).pipe(
      Stream.run(stdout({ endOnDone: false })),
      Effect.provide(StoreUrl.layerReader(store, draw))
    )
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery export --store sqlite:lottery.db --agency 3",
      description: "Give the book of agency 3 back"
    }
  ])
)
