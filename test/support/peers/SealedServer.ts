/** A scripted native server of a sealed draw, honest unless a test changes its messages. */
import { generateKeyPairSync } from "node:crypto"
import { Effect, Result } from "effect"
import type { NumberSource } from "../../../src/domain/Draw.ts"
import { MarkedHash } from "../../../src/domain/seal/MarkedDigest.ts"
import { type SealedSource, sealedSource } from "../../../src/domain/seal/NumberRule.ts"
import {
  type Beacon,
  randomnessOf,
  timeOfRound,
  winningNumberOf
} from "../../../src/domain/seal/Quicknet.ts"
import { entriesOf, type SealedBook } from "../../../src/domain/seal/Seal.ts"
import { type DrawResult, signResult } from "../../../src/protocol/notes/DrawResult.ts"
import { signReceipt } from "../../../src/protocol/notes/Receipt.ts"
import { signSeal, treeOf } from "../../../src/protocol/notes/SealFile.ts"
import { type SealKey, sealKeyFromPem } from "../../../src/protocol/notes/SignedNote.ts"
import { proveEntry } from "../../../src/protocol/notes/TlogProof.ts"
import { SEAL_NAME, SEAL_VKEY, sealKey } from "../sealKey.ts"
import * as Agency from "./AgencyEnd.ts"
import { SIGNATURES } from "./DrandEnd.ts"

/** Real rounds of quicknet, of 2023. */
export const ROUNDS = {
  1000: { round: 1000, signature: SIGNATURES[1000] },
  1001: { round: 1001, signature: SIGNATURES[1001] }
} satisfies Readonly<Record<number, Beacon>>

/** When round 1000 is published, in POSIX seconds. */
export const ROUND_1000_SECONDS = timeOfRound(1000)

export const KEY = sealKey
export const VKEY = SEAL_VKEY

/** Another key, perhaps of the same name. */
export const makeKey = (name = SEAL_NAME): SealKey => {
  const { privateKey } = generateKeyPairSync("ed25519")
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  return Result.getOrThrow(sealKeyFromPem(name, pem))
}

/** The agency of the client, and its draw. */
export const AGENCY = 3
export const DRAW = "default"

/** Canonical rows with these documents and numbers. */
export const rowsOf = (bets: ReadonlyArray<readonly [document: string, number: number]>): string =>
  bets.map(([document, number]) => `Ana,"Pérez, x",${document},1999-03-17,${number}\n`).join("")

export const sealedBook = (agency: number, rows: string): SealedBook => {
  const hash = new MarkedHash()
  hash.update(Buffer.from(rows))
  const bets = rows.split("\n").length - 1
  return { agency, bets, salt: agency.toString(16).padStart(32, "0"), ...hash.digest() }
}

export interface Honest {
  readonly rows: string
  readonly rule: NumberSource
  /** The number of an announced draw. */
  readonly announced?: number
  readonly sealedAt?: number
  readonly source?: SealedSource
  readonly books?: ReadonlyArray<SealedBook | { readonly agency: number }>
  readonly key?: SealKey
  readonly draw?: string
  /** The draw in the first entry, if it is not that of the checkpoint. */
  readonly entryDraw?: string
  /** Puts the book of the agency before the first entry. */
  readonly isTurned?: boolean
}

/** The number that round 1000 gives the draw `default`. */
export const NUMBER = 6286
export const ROWS = rowsOf([
  ["10", NUMBER],
  ["11", 7],
  ["12", NUMBER],
  ["13", NUMBER - 1],
  ["10", NUMBER],
  ["14", 286]
])
export const AT_ROUND: Honest = { rows: ROWS, rule: { _tag: "drand", at: { round: 1000 } } }
export const DELAYED: Honest = { rows: ROWS, rule: { _tag: "drand", at: { delaySeconds: 60 } } }
export const FIXED: Honest = { rows: ROWS, rule: { _tag: "fixed", number: NUMBER } }
export const ANNOUNCED: Honest = { rows: ROWS, rule: { _tag: "announced" }, announced: NUMBER }

export const BEFORE_ROUND = ROUND_1000_SECONDS - 600
export const AFTER_ROUND = ROUND_1000_SECONDS + 10

const numberOf = (source: SealedSource, draw: string, announced: number) => {
  if (source._tag === "announced") return announced
  if (source._tag === "fixed") return source.number
  return winningNumberOf(draw, randomnessOf(ROUNDS[1000].signature))
}

/** Signs a seal and makes the proofs of its first entry and of the book of the agency. */
export const signedSeal = ({ books, draw = DRAW, key = KEY, rows, rule, ...given }: Honest) => {
  const sealedAt = given.sealedAt ?? ROUND_1000_SECONDS - 60
  const source = given.source ?? sealedSource(rule, sealedAt)
  const agencies = books ?? [sealedBook(1, rows), sealedBook(AGENCY, rows), { agency: 4 }]
  const inOrder = entriesOf({ draw: given.entryDraw ?? draw, sealedAt, source, agencies })
  const entries = given.isTurned ? inOrder.toReversed() : inOrder
  const tree = treeOf(entries.join(""))
  const note = signSeal({ draw, tree }, key)
  const prove = (index: number) => proveEntry({ tree, index, entry: entries[index]!, note })
  const own = entries.findIndex((entry) => entry.startsWith(`book ${AGENCY} `))
  const head = given.isTurned ? entries.length - 1 : 0
  return { prove, proofs: [prove(head), prove(Math.max(0, own))], root: tree.root, source }
}

export const receiptOf = ({ key = KEY, rows, rule, draw = DRAW }: Honest, more = {}): string => {
  const { bets, sha256 } = sealedBook(AGENCY, rows)
  return signReceipt({ draw, agency: AGENCY, bets, sha256, source: rule, ...more }, key)
}

/** What an honest server says of a sealed draw. */
export const honestly = (honest: Honest) => {
  const { announced = 7, key = KEY, draw = DRAW, rows } = honest
  const { proofs, root, source } = signedSeal(honest)
  const number = numberOf(source, draw, announced)
  const documents = rows
    .split("\n")
    .filter((row) => row.endsWith(`,${number}`))
    .map((row) => row.split(",")[3]!)
  const result: DrawResult = {
    draw,
    number,
    root,
    beacon: source._tag === "drand" ? ROUNDS[1000] : undefined,
    winners: [{ agency: AGENCY, count: documents.length }]
  }
  return {
    receipt: receiptOf(honest) as string | undefined,
    seal: proofs as ReadonlyArray<string> | undefined,
    number,
    documents,
    result: signResult(result, key) as string | undefined
  }
}

export type Said = ReturnType<typeof honestly>

/** Signs the result of an honest draw, changed. */
export const resultOf = (honest: Honest, said: Said, more: Partial<DrawResult>): string => {
  const { root, source } = signedSeal(honest)
  const unchanged: DrawResult = {
    draw: DRAW,
    number: said.number,
    root,
    beacon: source._tag === "drand" ? ROUNDS[1000] : undefined,
    winners: [{ agency: AGENCY, count: said.documents.length }]
  }
  return signResult({ ...unchanged, ...more }, KEY)
}

const WAITING = { _tag: "Waiting", finished: 2, expected: 2 }

/** Takes the book, and answers Finish with the receipt. */
export const takeBook = Effect.fnUntraced(function* (
  agency: Agency.AgencyEnd,
  rows: string,
  { receipt }: Pick<Said, "receipt">
) {
  yield* Agency.hello(agency)
  yield* Agency.say(agency, Agency.welcome())
  const { count } = yield* Agency.bets(agency)
  yield* Agency.say(agency, Agency.ack(count))
  yield* Agency.control(agency)
  yield* Agency.say(agency, { ...Agency.finished(rows), receipt })
})

/** Answers a client whose book is finished, and that asks for its receipt unless it has it. */
export const takeFinished = Effect.fnUntraced(function* (
  agency: Agency.AgencyEnd,
  rows: string,
  { receipt }: Pick<Said, "receipt">
) {
  yield* Agency.hello(agency)
  yield* Agency.say(agency, Agency.welcome(rows, { finished: true }))
  const next = yield* Agency.control(agency)
  yield* Agency.say(agency, { ...Agency.finished(rows), receipt })
  return next
})

/** Takes the question for the winners. */
export const takeQuestion = Effect.fnUntraced(function* (agency: Agency.AgencyEnd) {
  yield* Agency.control(agency)
  yield* Agency.say(agency, WAITING)
})

export const showSeal = (agency: Agency.AgencyEnd, { seal }: Pick<Said, "seal">) =>
  seal === undefined ? Effect.void : Agency.say(agency, { ...WAITING, seal })

export const tellWinners = (
  agency: Agency.AgencyEnd,
  { documents, number, result }: Pick<Said, "documents" | "number" | "result">
) =>
  Effect.andThen(Agency.say(agency, { ...Agency.winners(documents), number, result }), agency.close)

/** Serves a whole conversation. */
export const serve = Effect.fnUntraced(function* (
  agency: Agency.AgencyEnd,
  rows: string,
  said: Said
) {
  yield* takeBook(agency, rows, said)
  yield* takeQuestion(agency)
  yield* showSeal(agency, said)
  yield* tellWinners(agency, said)
})
