/**
 * What a CSV store knows beside its bets, in `bets.csv.state.json`: the draw, who has finished
 * with how many bets, who was told, and whether the draw was held.
 */
import { Effect, Schema } from "effect"
import { Agency } from "../../domain/Agency.ts"
import { BetNumber } from "../../domain/Bet.ts"
import { DrawId, ExpectedAgencies } from "../../domain/Draw.ts"
import { type Disk, readFile, replaceFile } from "./Disk.ts"
import type { DrawTerms } from "./DrawTerms.ts"
import type { Outcome, Write } from "./EmbeddedStore.ts"

const StateFile = Schema.fromJsonString(
  Schema.Struct({
    version: Schema.Literal(1),
    draw: DrawId,
    opened: Schema.NullOr(Schema.Struct({ agencies: ExpectedAgencies, winningNumber: BetNumber })),
    recorded: Schema.Boolean,
    finished: Schema.Array(
      Schema.Struct({
        agency: Agency,
        bets: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
      })
    ),
    told: Schema.Array(Agency)
  })
)

const decode = Schema.decodeEffect(StateFile)
const encode = Schema.encodeEffect(StateFile)

/** The state of a store; never changed, only replaced by another. */
export interface CsvState {
  readonly draw: DrawId
  readonly opened: DrawTerms | undefined
  readonly recorded: boolean
  /** With how many bets each finished. */
  readonly finished: ReadonlyMap<Agency, number>
  readonly told: ReadonlySet<Agency>
}

/** The draw of a `bets.csv` that Python left without a state file. */
export const PYTHONS_DRAW = "default"

export const newState = (draw: DrawId): CsvState => ({
  draw,
  opened: undefined,
  recorded: false,
  finished: new Map(),
  told: new Set()
})

/** The state without what is known of an agency; the same where nothing is. */
export const withoutAgency = (state: CsvState, agency: Agency): CsvState => {
  if (!state.finished.has(agency) && !state.told.has(agency)) return state
  const finished = new Map(state.finished)
  finished.delete(agency)
  const told = new Set(state.told)
  told.delete(agency)
  return { ...state, finished, told }
}

export const statePath = (path: string): string => `${path}.state.json`

const utf8 = new TextEncoder()
const text = new TextDecoder()

/** The state as it was last written; undefined where there is no file, an error where it is bad. */
export const readState = Effect.fnUntraced(function* (disk: Disk, path: string) {
  const bytes = yield* readFile(disk, statePath(path))
  if (bytes === undefined) return undefined
  const { draw, opened, recorded, finished, told } = yield* decode(text.decode(bytes))
  const state: CsvState = {
    draw,
    opened: opened ?? undefined,
    recorded,
    finished: new Map(finished.map(({ agency, bets }) => [agency, bets])),
    told: new Set(told)
  }
  return state
})

/** Puts a state in the place of the one before, durably. */
export const writeState = Effect.fnUntraced(function* (disk: Disk, path: string, state: CsvState) {
  const { draw, opened, recorded, finished, told } = state
  const json = yield* encode({
    version: 1,
    draw,
    opened:
      opened === undefined
        ? null
        : {
            // Terms come from a Draw or from the file, both of which were checked.
            agencies: opened.agencies as ExpectedAgencies,
            winningNumber: opened.winningNumber
          },
    recorded,
    finished: Array.from(finished, ([agency, bets]) => ({ agency, bets })),
    told: [...told]
  }).pipe(Effect.orDie)
  yield* replaceFile(disk, statePath(path), utf8.encode(`${json}\n`))
})

/** The writes of a group that change the state alone, applied to a copy of it. */
export class StateChange {
  private state: CsvState
  private finished: Map<Agency, number> | undefined
  private told: Set<Agency> | undefined
  private readonly before: CsvState

  constructor(before: CsvState) {
    this.before = before
    this.state = before
  }

  /** The new state, which is the old one where nothing changed. */
  get result(): CsvState {
    return this.state
  }

  get changed(): boolean {
    return this.state !== this.before
  }

  hasFinished(agency: Agency): boolean {
    return this.state.finished.has(agency)
  }

  /** Applies a write that no bets are needed for. */
  apply(write: Exclude<Write, { kind: "append" | "finish" | "discard" }>): Outcome {
    switch (write.kind) {
      case "told":
        return this.tell(write.agency)
      case "openDraw":
        return this.openDraw(write)
      case "recordDraw":
        return this.recordDraw()
    }
  }

  /** Notes that a book is whole; `held` is how many bets of the agency are held then. */
  finish(agency: Agency, bets: number, held: number): Outcome {
    if (bets !== held) return { kind: "bookMismatch", held }
    if (this.hasFinished(agency)) return { kind: "done" }
    // One copy for the whole group, however many finish in it.
    this.finished ??= new Map(this.state.finished)
    this.finished.set(agency, bets)
    this.state = { ...this.state, finished: this.finished }
    return { kind: "done" }
  }

  private tell(agency: Agency): Outcome {
    if (this.state.told.has(agency)) return { kind: "done" }
    this.told ??= new Set(this.state.told)
    this.told.add(agency)
    this.state = { ...this.state, told: this.told }
    return { kind: "done" }
  }

  private openDraw({ agencies, winningNumber }: DrawTerms): Outcome {
    const { opened, recorded } = this.state
    if (opened !== undefined) return { kind: "draw", terms: opened, recorded }
    this.state = { ...this.state, opened: { agencies, winningNumber } }
    return { kind: "done" }
  }

  private recordDraw(): Outcome {
    const { opened, recorded, finished } = this.state
    if (opened === undefined) return { kind: "missing", agencies: [] }
    if (recorded) return { kind: "alreadyRecorded" }
    const agencies = opened.agencies.filter((agency) => !finished.has(agency))
    if (agencies.length > 0) return { kind: "missing", agencies }
    this.state = { ...this.state, recorded: true }
    return { kind: "done" }
  }
}
