/** How far a draw has got, as a person would say it. */
import type { Agency } from "../../domain/Agency.ts"
import { sealedSource } from "../../domain/seal/NumberRule.ts"
import { timeOfRound } from "../../domain/seal/Quicknet.ts"
import type { Seal } from "../../domain/seal/Seal.ts"
import { numberOf } from "./Closing.ts"
import { DrawMissed, type StoredDraw } from "./StoredDraw.ts"

export const PHASES = [
  "taking bets",
  "closed",
  /** The signed seal is recorded, and the number is not known yet. */
  "sealed",
  "waiting for the number",
  /** The round of the number was published before the books were closed. */
  "missed",
  "drawn"
] as const
export type Phase = (typeof PHASES)[number]

const MILLIS = 1000

/**
 * The drand round that decides the number, and when it is published, in milliseconds since the
 * epoch; undefined if there is none, or if it depends on when the draw is sealed.
 */
export const roundOf = ({
  sealedAt,
  source
}: Pick<StoredDraw, "source" | "sealedAt">):
  | { readonly round: number; readonly at: number }
  | undefined => {
  if (source._tag !== "drand") return undefined
  if ("delaySeconds" in source.at && sealedAt === undefined) return undefined
  const sealed = sealedSource(source, sealedAt ?? 0)
  if (sealed._tag !== "drand") return undefined
  return { round: sealed.round, at: MILLIS * timeOfRound(sealed.round) }
}

/** Returns why the draw can never be held; undefined if it can. `now` is in milliseconds. */
export const missedBecause = (
  drawId: string,
  draw: StoredDraw,
  now: number
): DrawMissed | undefined => {
  const round = draw.sealedAt === undefined ? roundOf(draw) : undefined
  return round === undefined || now < round.at
    ? undefined
    : new DrawMissed({ drawId, round: round.round })
}

/**
 * Returns why a seal is too late to be recorded: its round is published by `now`, in milliseconds,
 * or was by the time in the seal itself. Undefined if it is not too late.
 */
export const lateSeal = (
  drawId: string,
  { sealedAt, source }: Pick<Seal, "sealedAt" | "source">,
  now: number
): DrawMissed | undefined =>
  source._tag !== "drand" || Math.max(now, MILLIS * sealedAt) < MILLIS * timeOfRound(source.round)
    ? undefined
    : new DrawMissed({ drawId, round: source.round })

/** `awaited` are the agencies that the draw still waits for. `now` is in milliseconds. */
export const phaseOf = (
  drawId: string,
  draw: StoredDraw,
  awaited: ReadonlyArray<Agency>,
  now: number
): Phase => {
  if (draw.drawn) return "drawn"
  if (missedBecause(drawId, draw, now) !== undefined) return "missed"
  if (awaited.length > 0) return "taking bets"
  if (numberOf(draw) !== undefined) return "closed"
  if (draw.sealed) return "sealed"
  return draw.sealKey === undefined ? "waiting for the number" : "closed"
}
