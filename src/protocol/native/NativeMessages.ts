/**
 * What is said in dialect 4, native (wire: "Native"): the control messages, which travel as JSON
 * objects with `_tag`, and the frame of bets. Unknown keys are ignored, so that messages can grow.
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

/** A number of things, at least one. */
const PositiveCount = Count.check(Schema.isGreaterThanOrEqualTo(1))

/** The SHA-256 of some canonical rows. */
const Sha256 = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { message: "expected 64 lower-case hex digits" })
)

/** Text for people, which JSON can say. */
const Text = Schema.String.check(
  Schema.makeFilter((text: string) => text.isWellFormed() || "expected well-formed Unicode")
)

/** Opens the conversation. */
export class Hello extends Schema.TaggedClass<Hello>()("Hello", {
  draw: Text,
  agency: Agency,
  token: Schema.optionalKey(Text)
}) {}

/** Bets of the agency's book, of which `position` come before these. Not JSON: a frame of rows. */
export class Bets extends Schema.TaggedClass<Bets>()("Bets", {
  position: Count,
  batch: BetBatchSchema
}) {}

/**
 * The bets that follow, from position 0 on, are only compared with the stored ones. The server
 * acknowledges those that are equal, so an agency learns in which bet its book differs.
 */
export class Compare extends Schema.TaggedClass<Compare>()("Compare", {}) {}

/** The agency's book is complete: the number of its bets, and their digest. */
export class Finish extends Schema.TaggedClass<Finish>()("Finish", {
  bets: Count,
  sha256: Sha256
}) {}

/** The agency waits for the draw and its winners. */
export class AwaitWinners extends Schema.TaggedClass<AwaitWinners>()("AwaitWinners", {}) {}

/** What is stored of the agency's book, and how to go on. */
export class Welcome extends Schema.TaggedClass<Welcome>()("Welcome", {
  draw: DrawId,
  bets: Count,
  /** Of the stored rows. */
  sha256: Sha256,
  finished: Schema.Boolean,
  /** The most frames of bets without an acknowledgement. */
  window: PositiveCount,
  /** The most bytes of a frame after its length. */
  maxFrame: PositiveCount
}) {}

/** The first `bets` bets are durable, or were compared. */
export class Ack extends Schema.TaggedClass<Ack>()("Ack", { bets: Count }) {}

/** The agency has finished with this book. */
export class Finished extends Schema.TaggedClass<Finished>()("Finished", {
  bets: Count,
  sha256: Sha256
}) {}

/** How many of the expected agencies have finished. */
export class Waiting extends Schema.TaggedClass<Waiting>()("Waiting", {
  finished: Count,
  expected: PositiveCount
}) {}

/** Documents of the agency's winning bets; if `more`, others follow. */
export class Winners extends Schema.TaggedClass<Winners>()("Winners", {
  number: BetNumber,
  documents: Schema.Array(Document),
  more: Schema.Boolean
}) {}

/** The codes of a refusal that is final: trying again gains nothing. */
export const FINAL_CODES = [
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

/** The codes of a refusal after which a client begins again with Hello. */
const RETRY_CODES = [
  "Gap",
  "Conflict",
  "StoreUnavailable",
  "Busy",
  "Timeout",
  "ShuttingDown"
] as const

export type RejectionCode = (typeof FINAL_CODES)[number] | (typeof RETRY_CODES)[number]

const retryCodes: ReadonlySet<string> = new Set(RETRY_CODES)

/** Whether a client may begin again after a refusal; an unknown code is final. */
export const isRetryable = (code: string): boolean => retryCodes.has(code)

/** Nothing more is taken from this connection, and why; `position` is that of a bet. */
export class Rejected extends Schema.TaggedClass<Rejected>()("Rejected", {
  code: Text,
  message: Text,
  position: Schema.optionalKey(Count)
}) {}

/** What a client says as JSON. */
export const ClientControl = Schema.Union([Hello, Compare, Finish, AwaitWinners])
/** What a client says. */
export const NativeRequest = Schema.Union([Hello, Bets, Compare, Finish, AwaitWinners])
export type NativeRequest = typeof NativeRequest.Type

/** What a server says, all of it as JSON. */
export const NativeReply = Schema.Union([Welcome, Ack, Finished, Waiting, Winners, Rejected])
export type NativeReply = typeof NativeReply.Type
