/**
 * Holds the operator of a sealed draw to its promises, over all connections of a client's run
 * (docs/wire.md, "The sealed draw").
 */
import { Clock, Effect, type FileSystem, Result } from "effect"
import { ActionLine } from "../../domain/ActionLog.ts"
import { showTime } from "../../domain/Draw.ts"
import type { FileUnavailable } from "../../domain/FileUnavailable.ts"
import { isGenuine } from "../../domain/seal/BeaconCheck.ts"
import { type SealedSource, showSource } from "../../domain/seal/NumberRule.ts"
import { timeOfRound } from "../../domain/seal/Quicknet.ts"
import type * as Native from "../../protocol/native/NativeMessages.ts"
import type { DrawResult } from "../../protocol/notes/DrawResult.ts"
import type { VerifierKey } from "../../protocol/notes/SignedNote.ts"
import type { Book, BookFailure } from "../book/Book.ts"
import { BrokenPromise } from "./BrokenPromise.ts"
import type { EvidenceFiles } from "./EvidenceFiles.ts"
import { ownWinners } from "./OwnWinners.ts"
import * as SealedDraw from "./SealedDraw.ts"

/** What a client needs to hold an operator to its promises. */
export interface Vigilance {
  readonly operator: VerifierKey
  readonly evidence: EvidenceFiles | undefined
}

interface Watched extends Vigilance, SealedDraw.Participant {
  readonly book: Book
}

type Failure = BrokenPromise | FileUnavailable

export interface DrawWatch {
  /** Begins a connection. */
  readonly connected: Effect.Effect<void>
  /** Whether this run has a receipt for the book. */
  readonly hasReceipt: () => boolean
  /**
   * Takes the answer to a Finish. `askedMillis` is when this client finished the book, by its own
   * clock; undefined if the book was finished already.
   */
  readonly finished: (
    answer: Native.Finished,
    askedMillis: number | undefined
  ) => Effect.Effect<void, Failure>
  readonly waiting: (answer: Native.Waiting) => Effect.Effect<void, Failure>
  /** Takes the first of the messages with winners. */
  readonly drawn: (answer: Native.Winners) => Effect.Effect<void, Failure>
  /** Compares all winners that the agency was told with its own book. */
  readonly told: (
    documents: ReadonlyArray<string>
  ) => Effect.Effect<void, BrokenPromise | BookFailure, FileSystem.FileSystem>
}

const NO_RESULT = "the winners came without a signed result"

const MILLIS = 1000

const millisOfRound = (round: number): number => MILLIS * timeOfRound(round)

export const make = (own: Watched): DrawWatch => {
  const { agency, book, evidence } = own
  const receipts = [...(evidence?.kept.receipts ?? [])]
  let hasReceipt = false
  let seal: { readonly root: string; readonly source: SealedSource } | undefined
  let result: DrawResult | undefined
  /** When this run finished the book: the draw was not sealed before. */
  let finishedMillis = Number.NEGATIVE_INFINITY
  /** Since when this connection waits for the draw: the seal would have come at once. */
  let waitingSinceMillis = Number.POSITIVE_INFINITY

  const breaks = (what: string) => new BrokenPromise({ agency, what })
  const orBroken = <A>(checked: Result.Result<A, string>) =>
    Effect.fromResult(Result.mapError(checked, breaks))
  const keep: EvidenceFiles["keep"] = (kind, content) =>
    evidence?.keep(kind, content) ?? Effect.void

  /**
   * Returns whether a seal that comes after its round leaves open if it was made before. Fails if
   * it cannot have been.
   */
  const checkLate = Effect.fnUntraced(function* (round: number, root: string, now: number) {
    const publishedMillis = millisOfRound(round)
    const isKept = evidence?.kept.seals.some(
      (kept) => kept.root === root && kept.keptMillis < publishedMillis
    )
    if (now < publishedMillis || isKept) return false
    const published = `drand round ${round} was published at ${showTime(publishedMillis)}`
    if (finishedMillis >= publishedMillis) {
      return yield* breaks(`${published}, before this book was finished`)
    }
    if (waitingSinceMillis < publishedMillis) {
      const waited = "while this client was connected and waiting"
      return yield* breaks(`the seal came at ${showTime(now)}, but ${published}, ${waited}`)
    }
    return true
  })

  const takeSeal = Effect.fnUntraced(function* (proofs: SealedDraw.SealProofs) {
    const now = yield* Clock.currentTimeMillis
    const entries = yield* orBroken(SealedDraw.openSeal(proofs, own))
    const { root } = entries
    yield* keep("seal-head.tlog-proof", proofs[0])
    yield* keep("book.tlog-proof", proofs[1])
    const known = [...(seal === undefined ? [] : [seal]), ...(evidence?.kept.seals ?? [])]
    const other = known.find((one) => one.root !== root)
    if (other !== undefined) {
      const roots = `the root is ${root}, and was ${other.root} before`
      return yield* breaks(`two seals of one draw, which prove a fraud: ${roots}`)
    }
    const { source } = yield* orBroken(SealedDraw.checkSeal(entries, own, receipts))
    if (seal !== undefined) return
    seal = { root, source }
    const isDrand = source._tag === "drand"
    const isUnproven = isDrand && (yield* checkLate(source.round, root, now))
    const terms = isDrand
      ? { round: source.round, round_at: showTime(millisOfRound(source.round)) }
      : { source: showSource(source) }
    const warning = isUnproven ? "unproven: seen only after the round" : undefined
    const line = new ActionLine("seal_received", "success", {
      agencia: agency,
      root,
      ...terms,
      warning
    })
    yield* isUnproven ? Effect.logWarning(line) : Effect.logInfo(line)
  })

  return {
    connected: Effect.sync(() => {
      waitingSinceMillis = Number.POSITIVE_INFINITY
    }),
    hasReceipt: () => hasReceipt,
    finished: Effect.fnUntraced(function* ({ receipt: note }, askedMillis) {
      if (note === undefined)
        return yield* breaks("there is no receipt for this book: is the draw sealed?")
      const receipt = yield* orBroken(SealedDraw.openOwnReceipt(note, own))
      yield* keep("receipt", note)
      yield* orBroken(SealedDraw.checkReceipt(receipt, own))
      receipts.push(receipt)
      hasReceipt = true
      if (askedMillis === undefined) return
      finishedMillis = askedMillis
      waitingSinceMillis = yield* Clock.currentTimeMillis
    }),
    waiting: Effect.fnUntraced(function* (answer) {
      waitingSinceMillis = Math.min(waitingSinceMillis, yield* Clock.currentTimeMillis)
      if (answer.seal !== undefined) yield* takeSeal(answer.seal)
    }),
    drawn: Effect.fnUntraced(function* (answer) {
      if (seal === undefined) return yield* breaks("the winners came without the seal")
      const { result: note } = answer
      if (note === undefined) return yield* breaks(NO_RESULT)
      const opened = yield* orBroken(SealedDraw.openOwnResult(note, own))
      yield* keep("result", note)
      yield* orBroken(SealedDraw.checkResult(opened, answer.number, seal))
      const known = [...(result === undefined ? [] : [result]), ...(evidence?.kept.results ?? [])]
      const other = known.find(({ number }) => number !== opened.number)
      if (other !== undefined) {
        const numbers = `the number is ${opened.number}, and was ${other.number} before`
        return yield* breaks(`two results of one draw, which prove a fraud: ${numbers}`)
      }
      const { beacon } = opened
      if (beacon !== undefined && !(yield* isGenuine(beacon))) {
        return yield* breaks(`the result's signature of drand round ${beacon.round} is forged`)
      }
      result = opened
    }),
    told: Effect.fnUntraced(function* (documents) {
      if (result === undefined) return yield* breaks(NO_RESULT)
      const own = yield* ownWinners(book, result.number)
      yield* orBroken(SealedDraw.checkWinners(documents, own, result, agency))
    })
  }
}
