/** The options of reads and writes of a book. */
import type { BookDigest } from "../../domain/seal/MarkedDigest.ts"

/** A range of positions in one edition of a book. */
export interface PageRange {
  /** The position of the first bet, and the one after the last. */
  readonly from: number
  readonly until: number
  readonly edition: number
}

export interface AppendOptions {
  /** The edition that the write is for; any edition if omitted. */
  readonly edition?: number
  /** The agency's book is complete with this batch. */
  readonly last?: BookDigest | undefined
}

export type FinishOptions = BookDigest & Pick<AppendOptions, "edition">
