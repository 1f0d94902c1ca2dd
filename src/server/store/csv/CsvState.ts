/** The state of a CSV store: everything except its bets, in `bets.csv.state.json`. */
import { Effect, Schema, SchemaTransformation } from "effect"
import { Agency } from "../../../domain/Agency.ts"
import { BetNumber } from "../../../domain/Bet.ts"
import { DrawId, ExpectedAgencies, fixedNumber, NumberSource } from "../../../domain/Draw.ts"
import type { WholeBook } from "../BetStore.ts"
import { type Disk, readFile, replaceFile } from "../embedded/Disk.ts"
import type { StoredDraw } from "../StoredDraw.ts"
import { type CsvFile, unusable } from "./CsvFile.ts"

export interface FinishedBook extends WholeBook {
  readonly bets: number
}

/** A book that was discarded by an operator's act. */
export interface DiscardedBook {
  readonly act: string
  readonly agency: Agency
  readonly bets: number
}

/** A state as read from disk. One of an earlier version has fewer fields. */
export interface FoundState {
  readonly version: number
  readonly draw: DrawId
  readonly opened: StoredDraw | undefined
  readonly excluded: ReadonlySet<Agency>
  readonly finished: ReadonlyMap<Agency, { readonly bets: number; readonly sha256?: string }>
  readonly told: ReadonlySet<Agency>
  /** The SHA-256 of the winners file, which is written before the draw is recorded. */
  readonly winners: string | undefined
  /** Bytes of `bets.csv` that are known to be synced and are never cut. */
  readonly synced: number | undefined
  /** How many discards have replaced `bets.csv`. */
  readonly discards: number
  /** A discard is replacing `bets.csv`: `synced` is for the new file, which may not exist yet. */
  readonly discarding: boolean
  /** The last discards, oldest first. */
  readonly discarded: ReadonlyArray<DiscardedBook>
}

export const VERSION = 3

/** The immutable state of a store that is open for writing. */
export interface CsvState extends FoundState {
  readonly finished: ReadonlyMap<Agency, FinishedBook>
  readonly synced: number
}

export const newState = (draw: DrawId): CsvState => ({
  version: VERSION,
  draw,
  opened: undefined,
  excluded: new Set(),
  finished: new Map(),
  told: new Set(),
  winners: undefined,
  synced: 0,
  discards: 0,
  discarding: false,
  discarded: []
})

/** Returns the state without an agency; the same object if the agency is not in it. */
export const withoutAgency = (state: CsvState, agency: Agency): CsvState => {
  const finished = new Map(state.finished)
  const told = new Set(state.told)
  const wasFinished = finished.delete(agency)
  return told.delete(agency) || wasFinished ? { ...state, finished, told } : state
}

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Sha256 = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { message: "expected a SHA-256 of 64 hex digits" })
)

/** Terms of the versions in which the winning number was known from the start. */
const earlierFields = {
  draw: DrawId,
  opened: Schema.NullOr(Schema.Struct({ agencies: ExpectedAgencies, winningNumber: BetNumber })),
  recorded: Schema.Boolean,
  told: Schema.Array(Agency)
}

/** Version 1 recorded neither the synced bytes nor the SHA-256 of books. */
const FirstState = Schema.Struct({
  version: Schema.Literal(1),
  ...earlierFields,
  finished: Schema.Array(Schema.Struct({ agency: Agency, bets: Count }))
})

const laterFields = {
  finished: Schema.Array(Schema.Struct({ agency: Agency, bets: Count, sha256: Sha256 })),
  synced: Count,
  discards: Count,
  discarding: Schema.Boolean
}

/** Version 2 had neither steps of the draw nor recorded winners. */
const SecondState = Schema.Struct({
  version: Schema.Literal(2),
  ...earlierFields,
  ...laterFields
})

/** A time of the state file, such as `2026-12-02T00:00:00.000Z`, in milliseconds. */
const Time = Schema.String.pipe(
  Schema.decodeTo(
    Schema.Int,
    SchemaTransformation.transform<number, string>({
      decode: Date.parse,
      encode: (millis) => new Date(millis).toISOString()
    })
  )
)

/** Null in the file is undefined here. */
const orUndefined = <A, I>(schema: Schema.Codec<A, I>) =>
  Schema.NullOr(schema).pipe(
    Schema.decodeTo(
      Schema.UndefinedOr(Schema.toType(schema)),
      SchemaTransformation.transform<A | undefined, A | null>({
        decode: (value) => value ?? undefined,
        encode: (value) => value ?? null
      })
    )
  )

const State = Schema.Struct({
  version: Schema.Literal(VERSION),
  draw: DrawId,
  opened: orUndefined(
    Schema.Struct({
      agencies: ExpectedAgencies,
      source: NumberSource,
      closeAt: orUndefined(Time),
      closesAt: orUndefined(Time),
      winningNumber: orUndefined(BetNumber),
      drawn: Schema.Boolean
    })
  ),
  excluded: Schema.Array(Agency),
  told: Schema.Array(Agency),
  winners: orUndefined(Sha256),
  ...laterFields,
  discarded: Schema.Array(Schema.Struct({ act: Schema.String, agency: Agency, bets: Count }))
})

const parse = Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))
const decodeVersion = Schema.decodeUnknownEffect(Schema.Struct({ version: Schema.Int }))
const decodeFirst = Schema.decodeUnknownEffect(FirstState)
const decodeSecond = Schema.decodeUnknownEffect(SecondState)
const decode = Schema.decodeUnknownEffect(State)
const encode = Schema.encodeEffect(Schema.fromJsonString(State))

const utf8 = new TextEncoder()
const text = new TextDecoder()

type EarlierState = typeof FirstState.Type | typeof SecondState.Type

/** Returns a state of an earlier version as one of this version. */
const fromEarlier = ({ opened, recorded, ...state }: EarlierState) => ({
  synced: undefined,
  discards: 0,
  discarding: false,
  ...state,
  opened:
    opened === null
      ? undefined
      : {
          agencies: opened.agencies,
          source: fixedNumber(opened.winningNumber),
          closesAt: undefined,
          winningNumber: recorded ? opened.winningNumber : undefined,
          drawn: recorded
        },
  excluded: [],
  winners: undefined,
  discarded: []
})

const decodeState = (json: unknown, version: number) => {
  if (version === 1) return Effect.map(decodeFirst(json), fromEarlier)
  if (version === 2) return Effect.map(decodeSecond(json), fromEarlier)
  return decode(json)
}

const statePath = (path: string): string => `${path}.state.json`

/** Reads the state of the `bets.csv` at `path`; undefined if there is none. */
export const readState = Effect.fnUntraced(
  function* (disk: Disk, path: string) {
    const bytes = yield* readFile(disk, statePath(path))
    if (bytes === undefined) return undefined
    const json = yield* parse(text.decode(bytes))
    const { version } = yield* decodeVersion(json)
    if (version > VERSION) {
      const reason =
        `its state file ${statePath(path)} has version ${version}, but this release ` +
        `supports at most ${VERSION}: use the release that wrote it, or a newer one`
      return yield* unusable(reason)
    }
    const known = yield* decodeState(json, version)
    return {
      ...known,
      excluded: new Set(known.excluded),
      finished: new Map(known.finished.map(({ agency, ...book }) => [agency, book])),
      told: new Set(known.told)
    } satisfies FoundState
  },
  (effect, _disk, path) =>
    Effect.catchTag(effect, "SchemaError", ({ message }) => {
      const reason =
        `its state file ${statePath(path)} is damaged: ${message.replaceAll(/\s*\n\s*/g, "; ")} ` +
        "(restore it and the store from the same backup)"
      return Effect.fail(unusable(reason))
    })
)

/** Durably and atomically replaces the state of the `bets.csv` at `path`, with its permissions. */
export const writeState = Effect.fnUntraced(function* (
  { disk, file }: CsvFile,
  path: string,
  state: CsvState
) {
  const { excluded, finished, opened, told } = state
  const json = yield* encode({
    ...state,
    version: VERSION,
    // Terms come from a Draw or from the state file, and both were validated.
    opened: opened && {
      ...opened,
      agencies: opened.agencies as ExpectedAgencies,
      closeAt: opened.closeAt
    },
    excluded: [...excluded],
    finished: Array.from(finished, ([agency, book]) => ({ agency, ...book })),
    told: [...told]
  }).pipe(Effect.orDie)
  yield* replaceFile(disk, statePath(path), utf8.encode(`${json}\n`), file)
})
