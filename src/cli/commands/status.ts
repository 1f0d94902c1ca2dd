/** `lottery status`: shows the draw and the progress of each agency. */
import { Console, Effect, Option } from "effect"
import { Command } from "effect/cli"
import type { Agency } from "../../domain/Agency.ts"
import { describeAgencies, describeSource } from "../../domain/Draw.ts"
import { type AgencyProgress, BetStoreReader, NO_PROGRESS } from "../../server/store/BetStore.ts"
import { numberOf } from "../../server/store/Closing.ts"
import type { StoredDraw } from "../../server/store/StoredDraw.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import { textTable } from "../log/TextTable.ts"
import * as Setting from "../settings/Setting.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

interface Row extends Omit<AgencyProgress, "edition"> {
  readonly agency: Agency
}

/** Lists every agency that takes part or has something stored. */
const rowsOf = (
  draw: StoredDraw | undefined,
  progress: ReadonlyMap<Agency, AgencyProgress>
): ReadonlyArray<Row> =>
  [...new Set([...(draw?.agencies ?? []), ...progress.keys()])]
    .sort((one, other) => one - other)
    .map((agency) => {
      const { bets, excluded, finished, told } = progress.get(agency) ?? NO_PROGRESS
      return { agency, bets, excluded, finished, told }
    })

const yesOrNo = (value: boolean): string => (value ? "yes" : "no")

const table = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  textTable(
    ["agency", "bets", "finished", "winners sent"],
    rows.map(({ agency, bets, finished, told }) => [agency, bets, yesOrNo(finished), yesOrNo(told)])
  )

const drawLine = (id: string, stored: StoredDraw | undefined): string => {
  if (stored === undefined) return `draw ${id}: not opened yet`
  const agencies = `agencies ${describeAgencies(stored.agencies)}`
  const drawn = stored.drawn ? "drawn" : "not drawn yet"
  const number = numberOf(stored)
  const winning = number === undefined ? describeSource(stored.source) : `winning number ${number}`
  return `draw ${id}: ${agencies}, ${winning}, ${drawn}`
}

const json = (id: string, stored: StoredDraw | undefined, rows: ReadonlyArray<Row>): string => {
  if (stored === undefined) return JSON.stringify({ draw: null, agencies: rows })
  const { agencies, drawn: held } = stored
  const winningNumber = numberOf(stored) ?? null
  return JSON.stringify({ draw: { id, agencies, winningNumber, held }, agencies: rows })
}

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  json: Setting.flag("json", "Print one JSON object instead of a table")
}

export const status = Command.make(
  "status",
  settings,
  Effect.fnUntraced(function* (given) {
    const { draw, progress } = yield* Effect.flatMap(BetStoreReader, (books) =>
      Effect.all({ draw: books.draw, progress: books.progress })
    ).pipe(Effect.provide(StoreUrl.layerReader(given.store, given.draw)))
    const stored = Option.getOrUndefined(draw)
    const rows = rowsOf(stored, progress)
    yield* Console.log(
      given.json
        ? json(given.draw, stored, rows)
        : [drawLine(given.draw, stored), ...table(rows)].join("\n")
    )
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery status --store sqlite:lottery.db",
      description: "Show the progress of each agency, even while a server is running"
    }
  ])
)
