/** Executes the acts of the control channel on an open store, in a server or in a command. */
import { Data, Effect, Option } from "effect"
import * as Rpc from "effect/rpc/Rpc"
import { type ActionFields, ActionLine } from "../../../domain/ActionLog.ts"
import type { Agency } from "../../../domain/Agency.ts"
import { type DrawId, showTime } from "../../../domain/Draw.ts"
import { NoSuchAgency } from "../../store/StoredDraw.ts"
import type { OperatorWrites } from "../../store/StoreUrl.ts"
import { ActFailed, Control } from "./Control.ts"
import * as NumberActs from "./NumberActs.ts"

export interface Place {
  readonly draw: DrawId
  readonly store: OperatorWrites
  /** Logs an act. Runs after it and before its answer. */
  readonly log: (line: ActionLine) => Effect.Effect<void>
  /** Lets the lottery see what changed. Runs before the answer. */
  readonly changed: Effect.Effect<void>
}

interface Act<A> {
  readonly action: string
  /** What the act is about, for the log. */
  readonly fields: ActionFields
  readonly run: Effect.Effect<A, { readonly _tag: string; readonly message: string }>
  /** What it changed, for the log; undefined if the lottery logs that itself. */
  readonly result?: (changed: A) => ActionFields
}

/** The attributes of an act's span, by their keys in the log. */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  agencia: "lottery.agency",
  cantidad: "lottery.bets",
  closes_at: "lottery.closes_at",
  round: "lottery.round",
  winning_number: "lottery.winning_number"
}

const attributesOf = (fields: ActionFields) =>
  Object.fromEntries(Object.entries(fields).map(([key, value]) => [ATTRIBUTES[key], value]))

/** The server that has the store open serves another draw of that store. */
class WrongDraw extends Data.TaggedError("WrongDraw")<{
  readonly served: DrawId
  readonly asked: DrawId
}> {
  override get message(): string {
    return `the server that has the store open serves the draw ${this.served}, not ${this.asked}`
  }
}

/** The handlers of the control channel. Provide them with `Control.toLayer`. */
export const make = ({ changed, draw, log, store }: Place) => {
  const execute = <A>(asked: DrawId, { action, fields, result, run }: Act<A>) => {
    const line = (outcome: "success" | "fail", more: ActionFields) =>
      log(new ActionLine(action, outcome, { ...fields, ...more }))
    const act: Act<A>["run"] =
      asked === draw
        ? Effect.ensuring(run, changed)
        : Effect.fail(new WrongDraw({ served: draw, asked }))
    const traced = act.pipe(
      Effect.tap((done) => Effect.annotateCurrentSpan(attributesOf(result?.(done) ?? {}))),
      // A root, because the command that asked exports no span.
      Effect.withSpan(`Operator.${action}`, {
        root: true,
        kind: "server",
        attributes: { "lottery.draw": asked, ...attributesOf(fields) }
      })
    )
    const logged = traced.pipe(
      Effect.tap((done) => (result === undefined ? Effect.void : line("success", result(done)))),
      Effect.mapError(({ _tag: code, message: reason }) => new ActFailed({ code, reason })),
      Effect.tapError(({ reason }) => line("fail", { error: reason }))
    )
    // A command that goes away or a stop of the server must not end an act before its answer.
    return Rpc.uninterruptible(logged)
  }

  const ensureKnown = Effect.fnUntraced(function* (agency: Agency) {
    const stored = Option.getOrUndefined(yield* store.draw)
    if (stored?.agencies.includes(agency)) return
    return yield* new NoSuchAgency({ agency, drawId: draw, draw: stored })
  })

  return Control.of({
    Ready: () => Effect.void,
    Discard: ({ act, agency, draw: asked }) =>
      execute<number>(asked, {
        action: "book_discarded",
        fields: { agencia: agency },
        run: Effect.tap(store.discard(agency, act), (bets) =>
          bets === 0 ? ensureKnown(agency) : Effect.void
        ),
        result: (bets) => ({ cantidad: bets })
      }),
    Exclude: ({ agencies, draw: asked }) =>
      execute(asked, {
        action: "agency_excluded",
        fields: { agencia: agencies.join() },
        run: store.exclude(agencies)
      }),
    MoveClose: ({ closesAt, draw: asked }) =>
      execute(asked, {
        action: "close_moved",
        fields: { closes_at: closesAt === null ? "never" : showTime(closesAt) },
        run: store.moveClose(closesAt ?? undefined),
        result: () => ({})
      }),
    Announce: ({ draw: asked, winningNumber }) =>
      execute(asked, {
        action: "number_announced",
        // Without a number that is refused: announced too early, it may be the one that wins later.
        fields: {},
        run: Effect.gen(function* () {
          yield* NumberActs.checkNumber(yield* store.draw)
          yield* store.recordNumber(winningNumber)
        }),
        result: () => ({ winning_number: winningNumber })
      }),
    AnnounceBeacon: ({ draw: asked, round, signature }) =>
      execute(asked, {
        action: "number_announced",
        fields: { round },
        run: Effect.gen(function* () {
          const beacon = { round, signature }
          const winningNumber = yield* NumberActs.checkBeacon(draw, yield* store.draw, beacon)
          yield* store.recordNumber(winningNumber, beacon)
          return winningNumber
        }),
        result: (winningNumber) => ({ winning_number: winningNumber })
      })
  })
}
