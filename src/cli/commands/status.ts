/** `lottery status`: the draw, and how far each agency has come. */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Agency } from "../../domain/Agency.ts"
import { describeAgencies } from "../../domain/Draw.ts"
import {
  type AgencyProgress,
  BetStoreReader,
  NO_PROGRESS,
  type StoredDraw
} from "../../server/store/BetStore.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as Setting from "../settings/Setting.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

interface Row {
  readonly agency: Agency
  readonly progress: AgencyProgress
}

/** Every agency that takes part, or that something is held of. */
const rowsOf = (
  draw: StoredDraw | undefined,
  progress: ReadonlyMap<Agency, AgencyProgress>
): ReadonlyArray<Row> =>
  [...new Set([...(draw?.draw.agencies ?? []), ...progress.keys()])]
    .sort((one, other) => one - other)
    .map((agency) => ({ agency, progress: progress.get(agency) ?? NO_PROGRESS }))

const yesOrNo = (value: boolean): string => (value ? "yes" : "no")

const table = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const lines = [
    ["agency", "bets", "finished", "told"],
    ...rows.map(({ agency, progress: { bets, finished, told } }) => [
      String(agency),
      String(bets),
      yesOrNo(finished),
      yesOrNo(told)
    ])
  ]
  const widths = [0, 1, 2, 3].map((column) =>
    lines.reduce((width, line) => Math.max(width, line[column]!.length), 0)
  )
  return lines.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  "))
}

const drawLine = (id: string, stored: StoredDraw | undefined): string => {
  if (stored === undefined) return `draw ${id}: not opened yet`
  const { draw, recorded } = stored
  const agencies = `agencies ${describeAgencies(draw.agencies)}`
  const held = recorded ? "held" : "not held yet"
  return `draw ${id}: ${agencies}, winning number ${draw.winningNumber}, ${held}`
}

const json = (stored: StoredDraw | undefined, rows: ReadonlyArray<Row>): string =>
  JSON.stringify({
    draw:
      stored === undefined
        ? null
        : {
            id: stored.draw.id,
            agencies: stored.draw.agencies,
            winningNumber: stored.draw.winningNumber,
            held: stored.recorded
          },
    agencies: rows.map(({ agency, progress: { bets, finished, told } }) => ({
      agency,
      bets,
      finished,
      told
    }))
  })

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
      given.json ? json(stored, rows) : [drawLine(given.draw, stored), ...table(rows)].join("\n")
    )
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery status --store sqlite:lottery.db",
      description: "Look how far each agency has come, also beside a running server"
    }
  ])
)
