/** `lottery winners`: shows the winning bets of a draw that has been held. */
import { Clock, Data, Effect, Option, Stdio, Stream } from "effect"
import { CliError, Command } from "effect/cli"
import type { Agency } from "../../domain/Agency.ts"
import { type Bet, FIELDS, textsOf } from "../../domain/Bet.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { nameAgencies, showTime } from "../../domain/Draw.ts"
import { BetStoreReader, DamagedBet, progressIn } from "../../server/store/BetStore.ts"
import { awaitedIn, awaitsSeal, numberOf } from "../../server/store/Closing.ts"
import { missedBecause, roundOf } from "../../server/store/DrawPhase.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import { withAgency } from "../files/AgencyRows.ts"
import * as StoredState from "../files/StoredState.ts"
import { counted } from "../log/ProgressText.ts"
import { textTable } from "../log/TextTable.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const whyNotDrawn = ({ draw, progress }: StoredState.StoredState): string => {
  if (draw === undefined) return "it has not been opened yet; start a server with this store first"
  const awaited = awaitedIn(draw, progressIn(progress))
  if (awaited.length > 0) return `it is waiting for ${nameAgencies(awaited)}`
  const isNumberKnown = numberOf(draw) !== undefined
  if (isNumberKnown || awaitsSeal(draw)) {
    const step = isNumberKnown ? "holds" : "seals"
    return `every book is closed; a running server ${step} it now, or the next server that starts`
  }
  const round = roundOf(draw)
  return round === undefined
    ? "it is waiting for its winning number; announce it with lottery draw"
    : `it is waiting for drand round ${round.round} of ${showTime(round.at)}`
}

/** There are no winners yet. */
class NotDrawn extends Data.TaggedError("NotDrawn")<StoredState.StoredState> {
  override get message(): string {
    return `the draw ${this.id} has not been held: ${whyNotDrawn(this)}`
  }
}

/** The winning bets to show, by agency in ascending order. */
interface Found {
  readonly id: string
  readonly winningNumber: number
  readonly excluded: ReadonlyArray<Agency>
  readonly winners: ReadonlyMap<Agency, BetBatch>
  /** Only this agency was asked for. */
  readonly only: Agency | undefined
}

const find = Effect.fnUntraced(function* (id: string, only: Agency | undefined) {
  const books = yield* BetStoreReader
  const state = yield* StoredState.read(books, id)
  const { draw, progress } = state
  if (only !== undefined) yield* StoredState.progressOf(state, only)
  const missed = draw && missedBecause(id, draw, yield* Clock.currentTimeMillis)
  if (missed !== undefined) return yield* missed
  if (!draw?.drawn) return yield* new NotDrawn(state)
  const isAsked = (agency: Agency) => only === undefined || agency === only
  const winners = new Map<Agency, BetBatch>()
  for (const [agency, bets] of yield* books.winners) {
    if (!isAsked(agency)) continue
    if (bets instanceof DamagedBet) return yield* bets
    winners.set(agency, bets)
  }
  const excluded = draw.agencies.filter((one) => isAsked(one) && progress.get(one)?.excluded)
  const { winningNumber = 0 } = draw
  return { id, winningNumber, excluded, winners, only } satisfies Found
})

const warnOfExcluded = ({ excluded }: Found): Effect.Effect<void> =>
  excluded.length === 0
    ? Effect.void
    : Effect.logWarning(
        `none of the bets of ${nameAgencies(excluded)} can win: excluded from the draw`
      )

/** The rows as `lottery export` prints them. */
function* csvOf({ only, winners }: Found): Generator<Uint8Array> {
  for (const [agency, batch] of winners) {
    yield only === undefined ? withAgency(agency, batch) : batch.bytes
  }
}

function* betsOf({ winners }: Found): Generator<readonly [Agency, Bet]> {
  for (const [agency, batch] of winners) for (const bet of batch) yield [agency, bet]
}

function* jsonOf(found: Found): Generator<string> {
  const { excluded, id, winningNumber } = found
  const head = JSON.stringify({ draw: { id, winningNumber, excluded } })
  yield `${head.slice(0, -1)},"winners":[`
  let separator = ""
  for (const [agency, { birthdate, document, firstName, lastName, number }] of betsOf(found)) {
    const row = { agency, firstName, lastName, document, birthdate, number }
    yield separator + JSON.stringify(row)
    separator = ","
  }
  yield "]}\n"
}

const HEADS = ["agency", ...FIELDS.map(({ label }) => label)]
const ALIGNS = ["right", "left", "left", "right", "left", "right"] as const

function* tableOf(found: Found): Generator<string> {
  const { id, winningNumber } = found
  const rows = Array.from(betsOf(found), ([agency, bet]) => [agency, ...textsOf(bet)])
  yield `draw ${id}: winning number ${winningNumber}, ${counted(rows.length, "winner")}\n`
  if (rows.length === 0) return
  for (const line of textTable(HEADS, rows, ALIGNS)) yield `${line}\n`
}

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  agency: Setting.optional("agency", "<number>", {
    description: "Show only this agency's winners; with --csv, without the agency number",
    schema: SettingText.AgencyFromText
  }),
  csv: Setting.flag("csv", "Print rows as lottery export does instead of a table"),
  json: Setting.flag("json", "Print one JSON object instead of a table")
}

export const winners = Command.make(
  "winners",
  settings,
  Effect.fnUntraced(function* ({ agency, csv, draw, json, store }) {
    if (csv && json) {
      const message = "expected either --csv or --json"
      return yield* new CliError.ValidationError({ message })
    }
    const found = yield* Effect.provide(
      find(draw, Option.getOrUndefined(agency)),
      StoreUrl.layerReader(store, draw)
    )
    yield* warnOfExcluded(found)
    const { stdout } = yield* Stdio.Stdio
    const printed: Iterable<Uint8Array | string> = (csv ? csvOf : json ? jsonOf : tableOf)(found)
    yield* Stream.run(Stream.fromIterable(printed), stdout({ endOnDone: false }))
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery winners --store sqlite:lottery.db --agency 3",
      description: "Show the winning bets of agency 3"
    }
  ])
)
