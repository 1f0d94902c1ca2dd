/** The state of a CSV store: everything except its bets, in `bets.csv.state.json`. */
import { Effect, Schema, SchemaTransformation } from "effect"
import { Agency } from "../../../domain/Agency.ts"
import { BetNumber } from "../../../domain/Bet.ts"
import { DrawId, ExpectedAgencies, fixedNumber, NumberSource, Round } from "../../../domain/Draw.ts"
import { type Disk, readFile, replaceFile } from "../embedded/Disk.ts"
import type { StoredDraw } from "../StoredDraw.ts"
import { type CsvFile, unusable } from "./CsvFile.ts"
import { type MarkedBook, placeMarks, type RecordedBook } from "./CsvMarks.ts"

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
  readonly finished: ReadonlyMap<Agency, RecordedBook>
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
  /** The SHA-256 of the file with the entries of the seal, which is written before. */
  readonly entries: string | undefined
  /** The signed notes. */
  readonly seal: string | undefined
  readonly result: string | undefined
}

export const VERSION = 4

/** A state whose finished books were compared with the file. */
export interface CheckedState extends FoundState {
  readonly finished: ReadonlyMap<Agency, MarkedBook>
}

/** The immutable state of a store that is open for writing. */
export interface CsvState extends CheckedState {
  readonly synced: number
}

const NO_EVIDENCE = { entries: undefined, seal: undefined, result: undefined }

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
  discarded: [],
  ...NO_EVIDENCE
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

const openedFields = {
  agencies: ExpectedAgencies,
  source: NumberSource,
  closeAt: orUndefined(Time),
  closesAt: orUndefined(Time),
  winningNumber: orUndefined(BetNumber),
  drawn: Schema.Boolean
}

const stateFields = {
  draw: DrawId,
  excluded: Schema.Array(Agency),
  told: Schema.Array(Agency),
  winners: orUndefined(Sha256),
  ...laterFields,
  discarded: Schema.Array(Schema.Struct({ act: Schema.String, agency: Agency, bets: Count }))
}

/** Version 3 had no seal and no marks. */
const ThirdState = Schema.Struct({
  version: Schema.Literal(3),
  opened: orUndefined(Schema.Struct(openedFields)),
  ...stateFields
})

const lastOpenedFields = {
  ...openedFields,
  sealKey: orUndefined(Schema.String),
  /** In POSIX seconds, as in the seal. */
  sealedAt: orUndefined(Count),
  sealed: Schema.Boolean,
  beacon: orUndefined(Schema.Struct({ round: Round, signature: Schema.String }))
}

const State = Schema.Struct({
  version: Schema.Literal(VERSION),
  opened: orUndefined(Schema.Struct(lastOpenedFields)),
  ...stateFields,
  finished: Schema.Array(
    Schema.Struct({ agency: Agency, bets: Count, bytes: Count, sha256: Sha256, marksAt: Count })
  ),
  entries: orUndefined(Sha256),
  seal: orUndefined(Schema.String),
  result: orUndefined(Schema.String)
})

const parse = Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))
const decodeVersion = Schema.decodeUnknownEffect(Schema.Struct({ version: Schema.Int }))
const decodeFirst = Schema.decodeUnknownEffect(FirstState)
const decodeSecond = Schema.decodeUnknownEffect(SecondState)
const decodeThird = Schema.decodeUnknownEffect(ThirdState)
const decode = Schema.decodeUnknownEffect(State)

const { agencies: _agencies, ...openedFew } = lastOpenedFields
const { excluded: _excluded, finished: _finished, told: _told, ...fewFields } = State.fields
const OpenedFew = orUndefined(Schema.Struct(openedFew))
/**
 * Encodes all but what has an item for each agency and is the same in JSON. With 10,000 agencies a
 * schema would allocate megabytes for it in each commit.
 */
const encodeOthers = Schema.encodeEffect(Schema.Struct({ ...fewFields, opened: OpenedFew }))

const utf8 = new TextEncoder()
const text = new TextDecoder()

const UNSEALED = { sealedAt: undefined, sealed: false, beacon: undefined }

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
          ...UNSEALED,
          winningNumber: recorded ? opened.winningNumber : undefined,
          drawn: recorded
        },
  excluded: [],
  winners: undefined,
  discarded: [],
  ...NO_EVIDENCE
})

const fromThird = ({ opened, ...state }: typeof ThirdState.Type) => ({
  ...state,
  opened: opened && { ...opened, ...UNSEALED },
  ...NO_EVIDENCE
})

const decodeState = (json: unknown, version: number) => {
  if (version === 1) return Effect.map(decodeFirst(json), fromEarlier)
  if (version === 2) return Effect.map(decodeSecond(json), fromEarlier)
  if (version === 3) return Effect.map(decodeThird(json), fromThird)
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

/**
 * Durably and atomically replaces the state of the `bets.csv` at `path`, with its permissions. The
 * marks that it names are durable before. Returns the state with their offsets.
 */
export const writeState = Effect.fnUntraced(function* (
  csv: CsvFile,
  path: string,
  state: CsvState
) {
  const { excluded, opened, told } = state
  const finished = yield* placeMarks(csv, path, state.finished)
  const others = yield* encodeOthers({
    ...state,
    version: VERSION,
    opened: opened && { ...opened, closeAt: opened.closeAt, sealKey: opened.sealKey }
  }).pipe(Effect.orDie)
  const encoded: typeof State.Encoded = {
    ...others,
    // The agencies come from a Draw or from the state file, and both were validated.
    opened:
      opened && others.opened
        ? { ...others.opened, agencies: opened.agencies as ExpectedAgencies }
        : null,
    excluded: [...excluded],
    told: [...told],
    finished: Array.from(finished, ([agency, { bets, bytes, sha256, marksAt = 0 }]) => ({
      ...{ agency, bets, bytes, sha256, marksAt }
    }))
  }
  const json = utf8.encode(`${JSON.stringify(encoded)}\n`)
  yield* replaceFile(csv.disk, statePath(path), json, csv.file)
  return { ...state, finished } satisfies CsvState
})
