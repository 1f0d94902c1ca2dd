/**
 * The writes of an embedded store and their outcomes: plain values, which can be sent to a worker
 * thread. Imports no library, because SQLite's worker loads it.
 */
import type { Agency } from "../../../domain/Agency.ts"
import type { BookDigest } from "../../../domain/seal/MarkedDigest.ts"
import type { Beacon } from "../../../domain/seal/Quicknet.ts"
import type { SealedAgency } from "../Closing.ts"
import type {
  BookKept,
  CloseProblem,
  DrawTerms,
  Exclusion,
  ExclusionProblem,
  StoredDraw
} from "../StoredDraw.ts"

/** The writes of a commit succeed or fail independently. */
export type Write =
  | {
      readonly kind: "append"
      readonly agency: Agency
      readonly position: number
      /** The canonical rows of the batch. */
      readonly runs: ReadonlyArray<Uint8Array>
      /** The total length of the runs in bytes. */
      readonly size: number
      readonly count: number
      /** Completes the agency's book. */
      readonly last: BookDigest | undefined
      /** The edition that the write is for; any edition if undefined. */
      readonly edition: number | undefined
    }
  | {
      readonly kind: "finish"
      readonly agency: Agency
      readonly bets: number
      readonly digest: BookDigest
      readonly edition: number | undefined
    }
  | { readonly kind: "told"; readonly agency: Agency }
  | { readonly kind: "openDraw"; readonly terms: DrawTerms }
  | { readonly kind: "exclude"; readonly agencies: ReadonlyArray<Agency> }
  /** `now` is in milliseconds since the epoch. */
  | { readonly kind: "closeIfDue"; readonly now: number }
  | { readonly kind: "moveClose"; readonly closesAt: number | undefined; readonly now: number }
  | {
      readonly kind: "recordEntries"
      /** All entries, concatenated. */
      readonly entries: string
      /** In POSIX seconds. */
      readonly sealedAt: number
      readonly agencies: ReadonlyArray<SealedAgency>
      /** The round of the number is published. */
      readonly isLate: boolean
    }
  | { readonly kind: "recordNote"; readonly note: "seal" | "result"; readonly text: string }
  | {
      readonly kind: "recordNumber"
      readonly winningNumber: number
      readonly beacon: Beacon | undefined
    }
  | { readonly kind: "recordDraw" }
  | { readonly kind: "discard"; readonly agency: Agency; readonly act: string }

/** What operators do, and the draw itself: each is committed alone. */
export type Act = Extract<
  Write,
  {
    readonly kind:
      | "exclude"
      | "moveClose"
      | "recordEntries"
      | "recordNote"
      | "recordNumber"
      | "recordDraw"
      | "discard"
  }
>
export type GroupedWrite = Exclude<Write, Act>

/** The outcome of a write. Every refusal is final: that write stored nothing. */
export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "conflict"; readonly stored: number }
  | { readonly kind: "alreadyFinished"; readonly bets: number }
  | { readonly kind: "isExcluded" }
  | { readonly kind: "bookMismatch"; readonly stored: number }
  | { readonly kind: "otherEdition" }
  | { readonly kind: "draw"; readonly stored: StoredDraw }
  | { readonly kind: "excluded"; readonly exclusions: ReadonlyArray<Exclusion> }
  | { readonly kind: "notExcluded"; readonly problem: ExclusionProblem }
  | { readonly kind: "notMoved"; readonly problem: CloseProblem }
  | { readonly kind: "missing"; readonly agencies: ReadonlyArray<Agency> }
  | { readonly kind: "otherNumber"; readonly winningNumber: number }
  | { readonly kind: "entriesOutdated"; readonly agency: Agency }
  | { readonly kind: "missed" }
  | { readonly kind: "notSealed" }
  | { readonly kind: "notNumbered" }
  | { readonly kind: "alreadyRecorded" }
  | { readonly kind: "kept"; readonly because: BookKept["because"] }
  | { readonly kind: "discarded"; readonly bets: number }
  /** This write could not be made durable, although others in its group may have been. */
  | { readonly kind: "unavailable"; readonly reason: string }
