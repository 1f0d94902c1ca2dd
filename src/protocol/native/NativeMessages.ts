/**
 * The messages of the native dialect (docs/wire.md, "Native"): JSON control messages with `_tag`,
 * and the frame of bets. Unknown keys are ignored, so that messages can grow.
 */
import { Schema } from "effect"
import { Agency } from "../../domain/Agency.ts"
import { BetNumber, Document } from "../../domain/Bet.ts"
import { BetBatchSchema } from "../../domain/BetBatch.ts"
import { DrawId } from "../../domain/Draw.ts"

/** A number of bets, or a position in a book. */
const Count = Schema.Int.check(
  Schema.isBetween(
    { minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    { message: "expected a count" }
  )
)

const PositiveCount = Count.check(Schema.isGreaterThanOrEqualTo(1))

/** The SHA-256 of canonical rows. */
const Sha256 = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { message: "expected 64 lowercase hex digits" })
)

const Text = Schema.String.check(
  Schema.makeFilter((text: string) => text.isWellFormed() || "expected well-formed Unicode")
)

/** Begins the conversation. */
export class Hello extends Schema.TaggedClass<Hello>()("Hello", {
  draw: Text,
  agency: Agency,
  token: Schema.optionalKey(Text),
  /** The size of the agency's book, with which a server can show the upload's progress. */
  book: Schema.optionalKey(Schema.Struct({ bets: Count }))
}) {}

/** Bets of the agency's book; `position` bets come before them. Sent as rows, not as JSON. */
export class Bets extends Schema.TaggedClass<Bets>()("Bets", {
  position: Count,
  batch: BetBatchSchema
}) {}

/**
 * Compares the bets that follow, from position 0, with the stored ones and stores nothing. The
 * server acknowledges equal bets, which shows an agency the first bet that differs.
 */
export class Compare extends Schema.TaggedClass<Compare>()("Compare", {}) {}

/** The agency's book is complete; it has this many bets and this digest. */
export class Finish extends Schema.TaggedClass<Finish>()("Finish", {
  bets: Count,
  sha256: Sha256
}) {}

/** Waits for the draw and asks for the agency's winners. */
export class AwaitWinners extends Schema.TaggedClass<AwaitWinners>()("AwaitWinners", {}) {}

/** Describes the agency's stored book and the limits of the upload. */
export class Welcome extends Schema.TaggedClass<Welcome>()("Welcome", {
  draw: DrawId,
  bets: Count,
  sha256: Sha256,
  finished: Schema.Boolean,
  /** The maximum number of frames of bets without an acknowledgement. */
  window: PositiveCount,
  /** The maximum number of bytes of a frame after its length. */
  maxFrame: PositiveCount
}) {}

/** The first `bets` bets are stored, or equal to the stored ones after `Compare`. */
export class Ack extends Schema.TaggedClass<Ack>()("Ack", { bets: Count }) {}

/** The agency's book is finished. */
export class Finished extends Schema.TaggedClass<Finished>()("Finished", {
  bets: Count,
  sha256: Sha256,
  /** The signed receipt, in a sealed draw. */
  receipt: Schema.optionalKey(Text)
}) {}

/** Reports how many of the expected agencies have finished. */
export class Waiting extends Schema.TaggedClass<Waiting>()("Waiting", {
  finished: Count,
  expected: PositiveCount,
  /**
   * The proofs of the seal's first entry and of the agency's book, once in each connection, as soon
   * as the draw is sealed.
   */
  seal: Schema.optionalKey(Schema.Tuple([Text, Text]))
}) {}

/**
 * Documents of the agency's winning bets; with `more`, another message follows. The first one has
 * the signed result of a sealed draw.
 */
export class Winners extends Schema.TaggedClass<Winners>()("Winners", {
  number: BetNumber,
  documents: Schema.Array(Document),
  more: Schema.Boolean,
  result: Schema.optionalKey(Text)
}) {}

/** The rejection codes after which a client must not retry. */
export const FINAL_CODES = [
  "Excluded",
  "Missed",
  "Malformed",
  "TooLarge",
  "WrongDraw",
  "UnknownAgency",
  "Unauthorized",
  "InvalidBet",
  "BookMismatch",
  "NotFinished",
  "AlreadyFinished",
  "Superseded"
] as const

/** The rejection codes after which a client may begin again with Hello. */
const RETRY_CODES = [
  "Gap",
  "Conflict",
  "StoreUnavailable",
  "Busy",
  "Timeout",
  "ShuttingDown"
] as const

export const REJECTION_CODES = [...FINAL_CODES, ...RETRY_CODES] as const
export type RejectionCode = (typeof REJECTION_CODES)[number]

const retryCodes: ReadonlySet<string> = new Set(RETRY_CODES)

/** Whether a client may begin again after this code; an unknown code is final. */
export const isRetryable = (code: string): boolean => retryCodes.has(code)

/** The server accepts nothing more on this connection; `position` is that of the refused bet. */
export class Rejected extends Schema.TaggedClass<Rejected>()("Rejected", {
  code: Text,
  message: Text,
  position: Schema.optionalKey(Count)
}) {}

export const ClientControl = Schema.Union([Hello, Compare, Finish, AwaitWinners])
export const NativeRequest = Schema.Union([Hello, Bets, Compare, Finish, AwaitWinners])
export type NativeRequest = typeof NativeRequest.Type

/** A server's messages, all of them JSON. */
export const NativeReply = Schema.Union([Welcome, Ack, Finished, Waiting, Winners, Rejected])
export type NativeReply = typeof NativeReply.Type
