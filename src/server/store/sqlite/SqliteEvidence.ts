/**
 * The digests of finished books and the texts that prove a draw. Runs in the store's worker, so it
 * is synchronous and imports no library.
 */
import type { SQLTagStore } from "node:sqlite"
import type { BookDigest } from "../../../domain/seal/MarkedDigest.ts"
import type { Evidence, FinishedDigest } from "../BetStore.ts"

/** The strict table guarantees the types. */
type DigestRow = FinishedDigest & { readonly agency: number }

/** Stores the digest of a finished book unless it has one. */
export const writeDigest = (
  sql: SQLTagStore,
  draw: number,
  agency: number,
  { bytes, marks, sha256 }: BookDigest
): void => {
  sql.run`update agencies set book_bytes = ${bytes}, sha256 = ${sha256}, marks = ${marks}
    where draw = ${draw} and agency = ${agency} and sha256 is null`
}

/** Returns the SHA-256 of a finished book; undefined if none is stored. */
export const readSha256 = (
  sql: SQLTagStore,
  draw: number | null,
  agency: number
): string | undefined => {
  const row = sql.get`select sha256 from agencies where draw = ${draw} and agency = ${agency}`
  return (row?.sha256 as string | null | undefined) ?? undefined
}

export const readDigests = (
  sql: SQLTagStore,
  draw: number | null
): ReadonlyMap<number, FinishedDigest> => {
  const rows = sql.all`select agency, bets, book_bytes as bytes, sha256, marks from agencies
    where draw = ${draw} and sha256 not null order by agency`
  return new Map((rows as unknown as Array<DigestRow>).map(({ agency, ...row }) => [agency, row]))
}

type Texts = { readonly [Kind in keyof Evidence]?: string | null }

/** Stores texts unless those of their kind are stored. */
export const writeEvidence = (
  sql: SQLTagStore,
  draw: number,
  { entries = null, result = null, seal = null }: Texts
): void => {
  sql.run`update draws set entries = coalesce(entries, ${entries}),
    seal_note = coalesce(seal_note, ${seal}), result_note = coalesce(result_note, ${result})
    where id = ${draw}`
}

export const readEvidence = (sql: SQLTagStore, draw: number | null): Evidence => {
  const row = sql.get`select entries, seal_note as seal, result_note as result from draws
    where id = ${draw}`
  const { entries, result, seal } = (row ?? {}) as Texts
  return {
    entries: entries ?? undefined,
    seal: seal ?? undefined,
    result: result ?? undefined
  }
}
