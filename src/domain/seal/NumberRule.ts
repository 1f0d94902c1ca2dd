/** How a seal and a receipt say where the winning number comes from. */
import { Result } from "effect"
import { MAX_DELAY_SECONDS, type NumberSource } from "../Draw.ts"
import { CHAIN, roundAtOrAfter } from "./Quicknet.ts"
import { expectedBut, int, NUMBER, parseField, ROUND } from "./TextFields.ts"

/** What a seal says: a drand round is known by then. */
export type SealedSource =
  | { readonly _tag: "fixed"; readonly number: number }
  | { readonly _tag: "announced" }
  | { readonly _tag: "drand"; readonly round: number }

/** The source of the number once the draw is sealed at this time (POSIX seconds). */
export const sealedSource = (source: NumberSource, sealedAt: number): SealedSource => {
  if (source._tag !== "drand") return source
  const { at } = source
  const round = "round" in at ? at.round : roundAtOrAfter(sealedAt + at.delaySeconds)
  return { _tag: "drand", round }
}

const DRAND = `drand/${CHAIN}/`
const DELAYED = `${DRAND}+`
const FIXED = "fixed/"
const ANNOUNCED = "announced"

const DELAY = int("SECONDS", 1, MAX_DELAY_SECONDS)

/** SOURCE of a seal, such as `drand/CHAIN/1000`. */
export const showSource = (source: SealedSource): string => {
  if (source._tag === "fixed") return `${FIXED}${source.number}`
  if (source._tag === "announced") return ANNOUNCED
  return `${DRAND}${source.round}`
}

export const parseSource = (text: string): Result.Result<SealedSource, string> => {
  if (text === ANNOUNCED) return Result.succeed({ _tag: ANNOUNCED })
  if (text.startsWith(FIXED)) {
    return Result.map(parseField(NUMBER, text.slice(FIXED.length)), fixedSource)
  }
  if (text.startsWith(DRAND)) {
    return Result.map(parseField(ROUND, text.slice(DRAND.length)), drandSource)
  }
  return expectedBut(`${DRAND}ROUND, ${ANNOUNCED} or ${FIXED}NUMBER`, text)
}

const fixedSource = (number: number): SealedSource => ({ _tag: "fixed", number })
const drandSource = (round: number): SealedSource => ({ _tag: "drand", round })

/** RULE of a receipt: a SOURCE, or `drand/CHAIN/+60` while the round is not known. */
export const showRule = (source: NumberSource): string => {
  if (source._tag !== "drand") return showSource(source)
  const { at } = source
  return "round" in at ? `${DRAND}${at.round}` : `${DELAYED}${at.delaySeconds}`
}

export const parseRule = (text: string): Result.Result<NumberSource, string> =>
  text.startsWith(DELAYED)
    ? Result.map(parseField(DELAY, text.slice(DELAYED.length)), (delaySeconds) =>
        drandRule({ delaySeconds })
      )
    : Result.map(parseSource(text), (source) =>
        source._tag === "drand" ? drandRule({ round: source.round }) : source
      )

const drandRule = (at: { round: number } | { delaySeconds: number }): NumberSource => ({
  _tag: "drand",
  at
})
