/**
 * A draw that is sealed by processes: its books, its agencies, and what must stay the same when
 * servers of it are killed.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Option, Result, Schema } from "effect"
import { expect } from "vitest"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { Draw } from "../../../src/domain/Draw.ts"
import { timeOfRound } from "../../../src/domain/seal/Quicknet.ts"
import { openResult } from "../../../src/protocol/notes/DrawResult.ts"
import { openSealFile, showSealFile } from "../../../src/protocol/notes/SealFile.ts"
import { openProof } from "../../../src/protocol/notes/TlogProof.ts"
import { BetStore, BetStoreReader } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { SIGNATURES } from "../peers/DrandEnd.ts"
import { SEAL_VKEY, verifierKey } from "../sealKey.ts"
import { whole } from "../wholeBook.ts"
import { type Running, runLottery, startLottery } from "./lotteryCommand.ts"
import { clientArgs, exported, type Ports, winnersOf } from "./lotteryParties.ts"
import { clockAt } from "./processClock.ts"

const DIALECTS = { 1: "native", 2: "json", 3: "native" } as const
export type Agency = keyof typeof DIALECTS
export const AGENCIES = [1, 2, 3] as const
/** The agency that finishes last. */
export const LAST = 3

export const ROUND = 1000
/** The number of the round in the draw `default`. */
const NUMBER = 6286
const MILLIS = 1000
const HOUR = 3_600_000
const DELAY_SECONDS = 1
const PUBLISHED = MILLIS * timeOfRound(ROUND)

/** A seal of this time gets the round, which the server fetches soon after the clock shows it. */
export const EARLY = PUBLISHED - 1
/** The round is there. */
export const LATE = PUBLISHED + 10_000

const draw = new Draw({
  id: "default",
  agencies: AGENCIES,
  source: { _tag: "drand", at: { delaySeconds: DELAY_SECONDS } },
  sealKey: SEAL_VKEY
})

/** The flags of a server of the draw, except those of the key. */
export const serverFlags = (drandUrl: string) => [
  ...["--agencies", `${AGENCIES.length}`, "--draw", draw.id, "--number-from", "drand"],
  ...["--draw-delay", `${DELAY_SECONDS}s`, "--drand-url", drandUrl]
]

const betsOf = (agency: Agency, from: number, count: number) =>
  BetBatch.fromBets(
    Array.from({ length: count }, (_, index) => {
      const at = from + index
      const number = at % 10 === agency ? NUMBER : at
      const [document, birthdate] = [`${agency * 1000 + at}`, "1999-03-17"]
      return new Bet({ firstName: "Ana", lastName: "Pérez", document, birthdate, number })
    })
  )

const BETS = 20
const bookOf = (agency: Agency): string => Buffer.from(betsOf(agency, 0, BETS).bytes).toString()

/** Stores all books but the last one, of which half is stored. */
export const prepare = Effect.fnUntraced(function* (store: string) {
  const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(store)
  const write = Effect.gen(function* () {
    const { append, openDraw } = yield* BetStore
    yield* openDraw(draw)
    for (const agency of [1, 2] as const) {
      const book = betsOf(agency, 0, BETS)
      yield* append(agency, 0, book, { last: whole(book) })
    }
    yield* append(LAST, 0, betsOf(LAST, 0, BETS / 2))
  })
  yield* Effect.provide(write, StoreUrl.layer(url, draw.id))
})

/** Reads what a store has recorded. */
export const recordedIn = Effect.fnUntraced(function* (store: string) {
  const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(store)
  const read = Effect.gen(function* () {
    const reader = yield* BetStoreReader
    const progress = yield* reader.progress
    const agencies = AGENCIES.map((agency) => progress.get(agency))
    const stored = Option.getOrThrow(yield* reader.draw)
    return { draw: stored, agencies, evidence: yield* reader.evidence }
  })
  return yield* Effect.provide(read, StoreUrl.layerReader(url, draw.id))
})
export type Recorded = Effect.Success<ReturnType<typeof recordedIn>>

/** What is recorded, in this order. At first some bets of the last book are missing. */
const STEPS = ["bets", "finish", "entries", "seal", "number", "winners", "result", "told"] as const
export type Step = (typeof STEPS)[number]
/** From the last finished book on. */
export const [, ...SEALING] = STEPS

/** The last step that is recorded. */
export const stepOf = ({
  agencies,
  draw: { drawn, sealed, sealedAt, winningNumber },
  evidence
}: Recorded): Step => {
  if (agencies.some((agency) => agency?.told)) return "told"
  if (evidence.result !== undefined) return "result"
  if (drawn) return "winners"
  if (winningNumber !== undefined) return "number"
  if (sealed) return "seal"
  if (sealedAt !== undefined) return "entries"
  return agencies.every((agency) => agency?.finished) ? "finish" : "bets"
}

/** What was recorded stays as it was. */
export const expectKept = (earlier: Recorded, later: Recorded): void => {
  const defined = (fields: object) =>
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== false)
  const of = ({ draw, evidence }: Recorded) => defined({ ...draw, ...evidence })
  expect(of(later)).toEqual(expect.arrayContaining(of(earlier)))
}

/** No book can be discarded, no agency excluded, and no close time set. */
export const expectClosed = Effect.fnUntraced(function* (store: string) {
  const before = yield* recordedIn(store)
  expect(before.draw.sealedAt).toBeDefined()
  for (const act of [
    ["discard", "--agency", "1"],
    ["close", "--without", "2"],
    ["close", "--at", "2099-12-01T00:00:00Z"]
  ]) {
    const { code, stderr } = yield* runLottery({ args: [...act, "--store", store, "--yes"] })
    expect(code, stderr).toBe(1)
    expect(stderr.trimEnd().split("\n"), stderr).toHaveLength(1)
    expect(stderr).toMatch(/cannot be discarded|no agency was excluded|cannot be moved/)
  }
  expect(yield* recordedIn(store)).toEqual(before)
})

/** Writes the books; returns what starts the client of an agency. */
export const makeAgencies = (folder: string) => {
  for (const agency of AGENCIES) {
    writeFileSync(join(folder, `agency-${agency}.csv`), bookOf(agency))
  }
  const kept = join(folder, "evidence")
  mkdirSync(kept)
  const start = (agency: Agency, ports: Ports) => {
    const dialect = DIALECTS[agency]
    const evidence = ["--seal-vkey", SEAL_VKEY, "--evidence", kept]
    const args = clientArgs(folder, agency, ports, dialect)
    return startLottery({
      args: dialect === "native" ? [...args, ...evidence] : args,
      env: clockAt(PUBLISHED - HOUR)
    })
  }
  return { kept, start }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

interface Parties {
  readonly clients: Readonly<Record<Agency, Pick<Running, "outcome">>>
  /** The folder of their evidence. */
  readonly kept: string
}

/** The whole draw is recorded, and each agency has its winners and the proofs of the only seal. */
export const expectHeld = Effect.fnUntraced(function* (store: string, { clients, kept }: Parties) {
  for (const agency of AGENCIES) {
    const { code, stderr, stdout } = yield* clients[agency].outcome
    const winners = winnersOf(bookOf(agency), NUMBER)
    expect(winners).not.toBe("")
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: winners })
    expect(stderr).not.toContain("unproven")
    expect(yield* exported(store, agency)).toBe(bookOf(agency))
  }
  const { draw: stored, evidence } = yield* recordedIn(store)
  const { entries = "", result: note = "", seal = "" } = evidence
  const opened = Result.getOrThrow(openSealFile(showSealFile({ entries, note: seal }), verifierKey))
  const root = base64(opened.tree.root)
  expect(opened.seal.sealedAt).toBe(stored.sealedAt)
  expect(opened.seal.source).toEqual({ _tag: "drand", round: ROUND })
  const beacon = { round: ROUND, signature: SIGNATURES[ROUND] }
  expect(stored).toMatchObject({ winningNumber: NUMBER, beacon, sealed: true, drawn: true })
  const result = Result.getOrThrow(openResult(note, verifierKey))
  expect(result).toMatchObject({ draw: draw.id, number: NUMBER, beacon })
  expect(base64(result.root)).toBe(root)

  const natives = AGENCIES.filter((agency) => DIALECTS[agency] === "native")
  const kinds = ["book.tlog-proof", "receipt", "result", "seal-head.tlog-proof"]
  const names = natives.flatMap((agency) => kinds.map((kind) => `agency-${agency}.${kind}`))
  // A second one of a kind would have another name.
  expect(readdirSync(kept).sort()).toEqual(names)
  for (const name of names.filter((file) => file.endsWith("proof"))) {
    const proof = readFileSync(join(kept, name), "utf8")
    const { checkpoint } = Result.getOrThrow(openProof(proof, draw.id, verifierKey))
    expect(base64(checkpoint.root)).toBe(root)
    // The very note: no other one was signed.
    expect(proof).toContain(seal)
  }
})
