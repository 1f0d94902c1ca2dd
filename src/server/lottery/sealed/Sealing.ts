/**
 * Closes the books of a draw for good and signs what they are. The entries of the seal are recorded
 * first, and only what is recorded is signed: servers that share a store never sign two seals.
 */
import { randomBytes } from "node:crypto"
import { Clock, Effect, Stream } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import type { Draw } from "../../../domain/Draw.ts"
import { MarkedHash } from "../../../domain/seal/MarkedDigest.ts"
import type { MerkleTree } from "../../../domain/seal/MerkleTree.ts"
import { sealedSource } from "../../../domain/seal/NumberRule.ts"
import type { SealedBook, SealedExclusion } from "../../../domain/seal/Seal.ts"
import { signSeal, treeOf } from "../../../protocol/notes/SealFile.ts"
import type { SealKey } from "../../../protocol/notes/SignedNote.ts"
import {
  type AgencyProgress,
  BetStore,
  progressIn,
  StoreUnavailable
} from "../../store/BetStore.ts"
import { NotAllFinished } from "../../store/StoredDraw.ts"

const MILLIS = 1000
const SALT_BYTES = 16

/** Whether the books of a draw are closed for good by recording entries. */
export const hasEntries = ({ sealKey, source }: Pick<Draw, "sealKey" | "source">): boolean =>
  sealKey !== undefined || source._tag === "drand"

/** Secret until the seal is published, so it must not be predictable. */
const makeSalt = Effect.sync(() => randomBytes(SALT_BYTES).toString("hex"))

/** Stores the digest of a book that an earlier release finished without one. */
const digestBook = Effect.fnUntraced(function* (
  agency: Agency,
  { bets, edition }: Pick<AgencyProgress, "bets" | "edition">
) {
  const store = yield* BetStore
  const hash = new MarkedHash()
  let count = 0
  yield* Stream.runForEach(store.book(agency, 0), (batch) =>
    Effect.sync(() => {
      for (const run of batch.runs) hash.update(run)
      count += batch.count
    })
  )
  if (count !== bets) {
    const reason = `the stored book of agency ${agency} changed while it was read`
    return yield* new StoreUnavailable({ reason })
  }
  yield* store.finish(agency, bets, { ...hash.digest(), edition })
})

/**
 * Records the entries of the seal, after which no book changes. Every agency must have finished or
 * be excluded. Entries that are recorded already stand.
 */
export const recordEntries = Effect.fn("Lottery.seal")(function* (draw: Draw) {
  const store = yield* BetStore
  const progressOf = progressIn(yield* store.progress)
  const included = draw.agencies.filter((agency) => !progressOf(agency).excluded)
  let digests = yield* store.digests
  const undigested = included.filter((agency) => !digests.has(agency))
  for (const agency of undigested) {
    const progress = progressOf(agency)
    if (!progress.finished) return yield* new NotAllFinished({ missing: [agency] })
    yield* digestBook(agency, progress)
  }
  if (undigested.length > 0) digests = yield* store.digests
  const agencies: Array<SealedBook | SealedExclusion> = []
  for (const agency of draw.agencies) {
    const digest = digests.get(agency)
    if (progressOf(agency).excluded) agencies.push({ agency })
    else if (digest === undefined) return yield* new NotAllFinished({ missing: [agency] })
    else agencies.push({ ...digest, agency, salt: yield* makeSalt })
  }
  const sealedAt = Math.floor((yield* Clock.currentTimeMillis) / MILLIS)
  const source = sealedSource(draw.source, sealedAt)
  yield* store.recordEntries({ draw: draw.id, sealedAt, source, agencies })
  yield* Effect.annotateCurrentSpan("lottery.agencies", included.length)
})

/** An entry with its LF, and its place in the tree. */
interface PlacedEntry {
  readonly entry: string
  readonly index: number
}

/** The recorded entries of a seal, with what proofs of them need. */
interface IndexedEntries {
  readonly tree: MerkleTree
  readonly first: PlacedEntry
  /** The `book` entry of each agency whose book is sealed, in ascending order. */
  readonly books: ReadonlyMap<Agency, PlacedEntry>
}

export interface SignedEntries extends IndexedEntries {
  /** The signed checkpoint. */
  readonly note: string
}

const BOOK_ENTRY = /^book (\d+)/

/** Copies a part of a text, which would otherwise keep the whole text in memory. */
const copyOf = (part: string): string => Buffer.from(part).toString()

const indexEntries = (recorded: string): IndexedEntries => {
  const books = new Map<Agency, PlacedEntry>()
  let first: PlacedEntry = { entry: "", index: 0 }
  let index = 0
  for (const [entry] of recorded.matchAll(/.*\n/g)) {
    const [, digits] = BOOK_ENTRY.exec(entry) ?? []
    if (index === 0) first = { entry: copyOf(entry), index }
    if (digits !== undefined) books.set(Number(digits), { entry: copyOf(entry), index })
    index++
  }
  return { tree: treeOf(recorded), first, books }
}

/** Signs the recorded entries and records the note, unless one is recorded already. */
export const signEntries = Effect.fnUntraced(function* (draw: Draw, key: SealKey) {
  const store = yield* BetStore
  const { entries, seal } = yield* store.evidence
  if (entries === undefined) {
    // Another program changed the store.
    return yield* Effect.die(new Error("the store has lost the entries of the seal"))
  }
  const indexed = indexEntries(entries)
  // Ed25519 gives every server of the draw, which has the same key, the same note.
  const note = seal ?? signSeal({ draw: draw.id, tree: indexed.tree }, key)
  if (seal === undefined) yield* store.recordNote("seal", note)
  return { ...indexed, note } satisfies SignedEntries
})
