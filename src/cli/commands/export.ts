/** `lottery export`: prints the stored bets. */
import { Effect, Option, Stdio, Stream } from "effect"
import { Command } from "effect/cli"
import type { Agency } from "../../domain/Agency.ts"
import { BetStoreReader } from "../../server/store/BetStore.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import { withAgency } from "../files/AgencyRows.ts"
import * as StoredState from "../files/StoredState.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

/** Warns if the agency has sent nothing: an empty file would look like a whole book. */
const bookOf = Effect.fnUntraced(function* (draw: string, agency: Agency) {
  const books = yield* BetStoreReader
  const state = yield* StoredState.read(books, draw)
  const { bets, finished } = yield* StoredState.progressOf(state, agency)
  if (bets === 0 && !finished) yield* Effect.logWarning(`agency ${agency} has sent no bets yet`)
  return Stream.map(books.book(agency, 0), ({ bytes }) => bytes)
})

const everyBook = Effect.gen(function* () {
  const books = yield* BetStoreReader
  const agencies = (yield* books.progress).keys()
  return Stream.fromIterable(agencies).pipe(
    Stream.flatMap((one) => Stream.map(books.book(one, 0), (batch) => withAgency(one, batch)))
  )
})

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  agency: Setting.optional("agency", "<number>", {
    description: "Print only this agency's book, without the agency number",
    schema: SettingText.AgencyFromText
  })
}

export const exportCommand = Command.make(
  "export",
  settings,
  Effect.fnUntraced(function* ({ agency, draw, store }) {
    const { stdout } = yield* Stdio.Stdio
    const rows = Option.isSome(agency) ? bookOf(draw, agency.value) : everyBook
    yield* Stream.unwrap(rows).pipe(
      Stream.run(stdout({ endOnDone: false })),
      Effect.provide(StoreUrl.layerReader(store, draw))
    )
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery export --store sqlite:lottery.db --agency 3",
      description: "Print the book of agency 3"
    }
  ])
)
