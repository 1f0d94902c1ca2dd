/**
 * The file `bets.csv.state.json`: how a CSV store's state is written, and which earlier versions of
 * it are read. It is always replaced in one step.
 */
import { Effect, Schema } from "effect"
import { Agency } from "../../../domain/Agency.ts"
import { BetNumber } from "../../../domain/Bet.ts"
import { DrawId, ExpectedAgencies } from "../../../domain/Draw.ts"
import { StoreOpenError } from "../BetStore.ts"
import { type Descriptor, type Disk, readFile, replaceFile } from "../embedded/Disk.ts"
import { type CsvState, type FoundState, PYTHONS_DRAW } from "./CsvState.ts"

const VERSION = 2

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Sha256 = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { message: "expected a SHA-256 of 64 hex digits" })
)

const fields = {
  draw: DrawId,
  opened: Schema.NullOr(Schema.Struct({ agencies: ExpectedAgencies, winningNumber: BetNumber })),
  recorded: Schema.Boolean,
  told: Schema.Array(Agency)
}

/** What version 1 knew: neither what was synced nor what the books were. */
const FirstState = Schema.Struct({
  version: Schema.Literal(1),
  ...fields,
  finished: Schema.Array(Schema.Struct({ agency: Agency, bets: Count }))
})

const State = Schema.Struct({
  version: Schema.Literal(VERSION),
  ...fields,
  finished: Schema.Array(Schema.Struct({ agency: Agency, bets: Count, sha256: Sha256 })),
  synced: Count,
  discards: Count,
  discarding: Schema.Boolean
})

const Versioned = Schema.Struct({ version: Schema.Int })

const parse = Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))
const decodeVersion = Schema.decodeUnknownEffect(Versioned)
const decodeFirst = Schema.decodeUnknownEffect(FirstState)
const decode = Schema.decodeUnknownEffect(State)
const encode = Schema.encodeEffect(Schema.fromJsonString(State))

const utf8 = new TextEncoder()
const text = new TextDecoder()

const statePath = (path: string): string => `${path}.state.json`

const oneLine = (message: string): string => message.replaceAll(/\s*\n\s*/g, "; ")

const decodeState = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const json = yield* parse(text.decode(bytes))
  const { version } = yield* decodeVersion(json)
  if (version > VERSION) return version
  const known =
    version === 1
      ? { synced: undefined, discards: 0, discarding: false, ...(yield* decodeFirst(json)) }
      : yield* decode(json)
  const state: FoundState = {
    ...known,
    opened: known.opened ?? undefined,
    finished: new Map(known.finished.map(({ agency, ...book }) => [agency, book])),
    told: new Set(known.told)
  }
  return state
})

/** The state as it was last written; undefined if there is no file. */
export const readState = Effect.fnUntraced(
  function* (store: string, disk: Disk, path: string) {
    const bytes = yield* readFile(disk, statePath(path))
    if (bytes === undefined) return undefined
    const state = yield* decodeState(bytes)
    if (typeof state !== "number") return state
    const reason =
      `its state file ${statePath(path)} is of version ${state}, and this program knows ` +
      `${VERSION} at most: use the lottery that wrote it, or a newer one`
    return yield* new StoreOpenError({ store, reason })
  },
  (effect, store, _disk, path) =>
    Effect.catchTag(effect, "SchemaError", (error) => {
      const reason =
        `its state file ${statePath(path)} is damaged: ${oneLine(error.message)} ` +
        "(restore it and the store from the same moment)"
      return Effect.fail(new StoreOpenError({ store, reason }))
    })
)

/** Looks that a store is of this draw. */
export const checkDraw = (
  store: string,
  state: FoundState | undefined,
  drawId: string,
  hasBets: boolean
): Effect.Effect<void, StoreOpenError> => {
  const draw = state?.draw ?? (hasBets ? PYTHONS_DRAW : drawId)
  if (draw === drawId) return Effect.void
  const reason = `it holds the draw ${draw}, not ${drawId}; a CSV store holds one draw`
  return Effect.fail(new StoreOpenError({ store, reason }))
}

/** Puts a state in the place of the one before, durably; who may read the bets may read it. */
export const writeState = Effect.fnUntraced(function* (
  disk: Disk,
  path: string,
  bets: Descriptor,
  state: CsvState
) {
  const { opened, finished, told } = state
  const json = yield* encode({
    ...state,
    version: VERSION,
    opened:
      opened === undefined
        ? null
        : {
            // Terms come from a Draw or from the file, both of which were checked.
            agencies: opened.agencies as ExpectedAgencies,
            winningNumber: opened.winningNumber
          },
    finished: Array.from(finished, ([agency, { bets, sha256 }]) => ({ agency, bets, sha256 })),
    told: [...told]
  }).pipe(Effect.orDie)
  yield* replaceFile(disk, statePath(path), utf8.encode(`${json}\n`), bets)
})
