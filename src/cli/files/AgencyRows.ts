import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { LF } from "../../domain/BetRow.ts"

/** Puts the agency in front of each row of a batch. */
export const withAgency = (agency: Agency, { bytes, count }: BetBatch): Uint8Array => {
  const prefix = Buffer.from(`${agency},`)
  const rows = Buffer.alloc(bytes.length + count * prefix.length)
  let at = 0
  let start = 0
  while (start < bytes.length) {
    const end = bytes.indexOf(LF, start) + 1
    at += prefix.copy(rows, at)
    rows.set(bytes.subarray(start, end), at)
    at += end - start
    start = end
  }
  return rows
}
