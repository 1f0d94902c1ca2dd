/** The rounds of drand's quicknet, from which a winning number is derived. */
import { createHash } from "node:crypto"

/** The hash of quicknet's parameters, which identifies the chain. */
export const CHAIN = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"

/** When round 1 is published, in POSIX seconds. */
const GENESIS = 1_692_803_367
const PERIOD_SECONDS = 3

/** Winning numbers go from 0 to one less than this. */
const NUMBERS = 10_000n

/** A published round. */
export interface Beacon {
  readonly round: number
  /** 96 lowercase hex digits. */
  readonly signature: string
}

/** When a round is published, in POSIX seconds. */
export const timeOfRound = (round: number): number => GENESIS + PERIOD_SECONDS * (round - 1)

/** The first round that is published at this time (POSIX seconds) or later; at least 1. */
export const roundAtOrAfter = (seconds: number): number =>
  Math.max(1, Math.ceil((seconds - GENESIS) / PERIOD_SECONDS) + 1)

/** The randomness of a round: the SHA-256 of its signature, as hex digits. */
export const randomnessOf = (signature: string): string =>
  createHash("sha256").update(signature, "hex").digest("hex")

/** The winning number that a draw gets from this randomness (hex digits). */
export const winningNumberOf = (draw: string, randomness: string): number => {
  const hash = createHash("sha256").update(`lottery-number/v1\n${draw}\n${randomness}\n`)
  return Number(BigInt(`0x${hash.digest("hex")}`) % NUMBERS)
}
