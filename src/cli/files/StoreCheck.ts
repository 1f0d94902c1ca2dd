/**
 * Checks a store against what it recorded: reads every finished book again and compares it with its
 * line in the seal, or, without a seal, with the digest that was stored when it was finished.
 */
import { Data, Effect, Option, Result, Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { nameAgencies } from "../../domain/Draw.ts"
import { type ByteRange, firstDifference, MarkedHash } from "../../domain/seal/MarkedDigest.ts"
import { isBook, parseEntries, type SealedBook } from "../../domain/seal/Seal.ts"
import { openResult } from "../../protocol/notes/DrawResult.ts"
import { openSealFile, showSealFile, treeOf } from "../../protocol/notes/SealFile.ts"
import { parseKey } from "../../protocol/notes/SignedNote.ts"
import {
  BetStoreReader,
  type Evidence,
  type FinishedDigest,
  progressIn,
  type StoredBooks
} from "../../server/store/BetStore.ts"
import { awaitedIn } from "../../server/store/Closing.ts"
import { NotAllFinished, type StoredDraw } from "../../server/store/StoredDraw.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import type { Target } from "./ActPreview.ts"

/**
 * `noDigest`: the release that finished the book stored none. `digestChanged`: the book is the
 * same, but not its stored digest. `notSealed`: the draw is sealed without this book.
 */
export type Verdict =
  | "asSealed"
  | "asFinished"
  | "noDigest"
  | "digestChanged"
  | "notSealed"
  | "changed"

const CHANGED: ReadonlySet<Verdict> = new Set(["digestChanged", "notSealed", "changed"])

export interface BookCheck {
  readonly agency: Agency
  readonly verdict: Verdict
  /** The book as the store has it now. */
  readonly found: FinishedDigest
  /** What was stored when the book was finished. */
  readonly stored: FinishedDigest | undefined
  readonly sealed: FinishedDigest | undefined
  /** Where the first difference lies; undefined if only the number of bets differs. */
  readonly changedIn: ByteRange | undefined
}

export interface StoreCheck {
  /** The key of the draw. */
  readonly vkey: string | undefined
  /** What is recorded of the seal: nothing, its entries, or also its signed note. */
  readonly seal: "none" | "unsigned" | "signed"
  /** Why the seal or the result does not prove the draw. */
  readonly sealProblem: string | undefined
  /** In ascending order of agencies. */
  readonly books: ReadonlyArray<BookCheck>
  /** Agencies that the draw waits for: their books have nothing to be compared with. */
  readonly unfinished: number
}

export const isChanged = ({ verdict }: BookCheck): boolean => CHANGED.has(verdict)

/** The store is not what it recorded. */
export class StoreChanged extends Data.TaggedError("StoreChanged")<{
  readonly agencies: ReadonlyArray<Agency>
  readonly sealProblem: string | undefined
}> {
  override get message(): string {
    const { agencies, sealProblem } = this
    const reasons: Array<string> = []
    if (sealProblem !== undefined) reasons.push(`the seal is wrong: ${sealProblem}`)
    if (agencies.length > 0) {
      const [book, it] = agencies.length === 1 ? ["book", "it was"] : ["books", "they were"]
      reasons.push(`the ${book} of ${nameAgencies(agencies)} changed after ${it} finished`)
    }
    return reasons.join("; ")
  }
}

/** Fails if the seal or a book is not what was recorded. */
export const ensureUnchanged = ({ books, sealProblem }: StoreCheck) => {
  const agencies = books.filter(isChanged).map(({ agency }) => agency)
  return agencies.length === 0 && sealProblem === undefined
    ? Effect.void
    : Effect.fail(new StoreChanged({ agencies, sealProblem }))
}

const isSame = (one: FinishedDigest, other: FinishedDigest): boolean =>
  one.sha256 === other.sha256 && one.bytes === other.bytes && one.bets === other.bets

/** Whether the stored digest is that of the book, with its marks. */
const isWholeDigest = (stored: FinishedDigest, found: FinishedDigest): boolean =>
  isSame(stored, found) && Buffer.from(stored.marks).equals(found.marks)

const digestOf = Effect.fnUntraced(function* (books: StoredBooks, agency: Agency) {
  const hash = new MarkedHash()
  let bets = 0
  yield* Stream.runForEach(books.book(agency, 0), (batch) =>
    Effect.sync(() => {
      hash.update(batch.bytes)
      bets += batch.count
    })
  )
  return { ...hash.digest(), bets } satisfies FinishedDigest
})

const verdictOf = (
  { found, sealed, stored }: Pick<BookCheck, "found" | "stored" | "sealed">,
  isSealed: boolean
): Verdict => {
  const reference = sealed ?? stored
  if (isSealed && sealed === undefined) return "notSealed"
  if (reference === undefined) return "noDigest"
  if (!isSame(reference, found)) return "changed"
  if (stored !== undefined && !isWholeDigest(stored, found)) return "digestChanged"
  return isSealed ? "asSealed" : "asFinished"
}

/** Reads a book again. Undefined if it was discarded meanwhile. */
const checkBook = Effect.fnUntraced(function* (
  books: StoredBooks,
  agency: Agency,
  digests: ReadonlyMap<Agency, FinishedDigest>,
  sealedBooks: ReadonlyMap<Agency, FinishedDigest> | undefined
) {
  const stored = digests.get(agency)
  const sealed = sealedBooks?.get(agency)
  const found = yield* digestOf(books, agency)
  const verdict = verdictOf({ found, sealed, stored }, sealedBooks !== undefined)
  const reference = sealed ?? stored
  const changedIn =
    verdict === "changed" && reference ? firstDifference(reference, found) : undefined
  if (verdict === "changed" && sealedBooks === undefined) {
    const now = (yield* books.digests).get(agency)
    if (now?.sha256 !== stored?.sha256) return undefined
  }
  return { agency, verdict, found, stored, sealed, changedIn } satisfies BookCheck
})

/** Fails with the reason why what is recorded does not prove this draw. */
const proves = (
  drawId: string,
  { sealedAt, sealKey, winningNumber }: StoredDraw,
  { entries, result, seal }: Evidence
): Result.Result<void, string> =>
  Result.gen(function* () {
    if (entries === undefined) {
      return yield* sealedAt === undefined ? Result.void : Result.fail("its entries are missing")
    }
    const { draw } = yield* parseEntries(entries)
    if (draw !== drawId) return yield* Result.fail(`it is of the draw ${draw}`)
    if (sealKey === undefined) return
    if (seal === undefined) {
      // The number is recorded only after the note.
      const isLost = winningNumber !== undefined
      return yield* isLost ? Result.fail("its signed note is missing") : Result.void
    }
    const key = yield* parseKey(sealKey)
    yield* openSealFile(showSealFile({ entries, note: seal }), key)
    if (result === undefined) return
    const signed = yield* openResult(result, key)
    const isOfSeal = Buffer.from(treeOf(entries).root).equals(signed.root)
    if (signed.draw !== drawId || !isOfSeal || signed.number !== winningNumber) {
      return yield* Result.fail("the signed result is of another seal, draw or number")
    }
  })

/** The books in the recorded entries; undefined if none are recorded, or they are damaged. */
const sealedIn = ({ entries }: Evidence): ReadonlyMap<Agency, SealedBook> | undefined => {
  const seal = entries === undefined ? undefined : Result.getOrUndefined(parseEntries(entries))
  return seal && new Map(seal.agencies.filter(isBook).map((book) => [book.agency, book]))
}

const checkBooks = Effect.fnUntraced(function* (drawId: string) {
  const books = yield* BetStoreReader
  const draw = Option.getOrUndefined(yield* books.draw)
  if (draw === undefined) return yield* new NotAllFinished({ missing: [] })
  const evidence = yield* books.evidence
  const digests = yield* books.digests
  const sealed = sealedIn(evidence)
  const progressOf = progressIn(yield* books.progress)
  const finished = draw.agencies.filter((agency) => progressOf(agency).finished)
  const known = new Set([...finished, ...digests.keys(), ...(sealed?.keys() ?? [])])
  const agencies = [...known].sort((one, other) => one - other)
  const checks = yield* Effect.forEach(agencies, (agency) =>
    checkBook(books, agency, digests, sealed)
  )
  const checked = checks.filter((check) => check !== undefined)
  const problem = Option.getOrUndefined(Result.getFailure(proves(drawId, draw, evidence)))
  return {
    vkey: draw.sealKey,
    seal: evidence.entries === undefined ? "none" : evidence.seal ? "signed" : "unsigned",
    sealProblem: problem,
    books: checked,
    unfinished: awaitedIn(draw, progressOf).length
  } satisfies StoreCheck
})

/** Reads all finished books of a draw, each in constant memory. */
export const run = ({ draw, store }: Target) =>
  Effect.provide(checkBooks(draw), StoreUrl.layerReader(store, draw))
