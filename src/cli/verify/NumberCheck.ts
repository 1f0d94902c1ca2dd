/** Checks the winning number: the beacon's, and the results' (docs/sealed-draw.md, step 5). */
import { Effect, Result } from "effect"
import { nameAgencies } from "../../domain/Draw.ts"
import { isGenuine } from "../../domain/seal/BeaconCheck.ts"
import { type Beacon, randomnessOf, winningNumberOf } from "../../domain/seal/Quicknet.ts"
import { isBook, type Seal } from "../../domain/seal/Seal.ts"
import { parseBeacon } from "../../protocol/notes/BeaconFile.ts"
import { type DrawResult, openResult } from "../../protocol/notes/DrawResult.ts"
import type { OpenedSeal } from "../../protocol/notes/SealFile.ts"
import { type Check, forged, notProven, proven, wrong } from "./Check.ts"
import { decode, type Given } from "./Given.ts"
import { rootOf } from "./SealCheck.ts"

const NUMBER = "number"
const RESULT = "result"

export interface NamedResult {
  readonly name: string
  readonly result: DrawResult
}

export interface NumberFound {
  readonly checks: ReadonlyArray<Check>
  /** The number to count winners of; undefined if nothing given says it. */
  readonly number: number | undefined
  /** Results of this seal. */
  readonly results: ReadonlyArray<NamedResult>
}

/** Returns why a beacon is not the sealed round; undefined if it is. */
const beaconProblem = Effect.fnUntraced(function* (round: number, beacon: Beacon) {
  if (beacon.round !== round) {
    return `is of round ${beacon.round}; the seal takes round ${round} and no other`
  }
  return (yield* isGenuine(beacon)) ? undefined : `its signature is not drand's of round ${round}`
})

const numberOf = ({ draw }: Seal, beacon: Beacon): number =>
  winningNumberOf(draw, randomnessOf(beacon.signature))

/** What the beacon files show of a drand draw's number. */
const fromBeacons = Effect.fnUntraced(function* (given: Given, seal: Seal, round: number) {
  const checks: Array<Check> = []
  let number: number | undefined
  for (const file of given.beacons) {
    const beacon = decode(file, "beacon", parseBeacon)
    const problem = Result.isFailure(beacon)
      ? beacon.failure
      : yield* beaconProblem(round, beacon.success)
    if (Result.isFailure(beacon) || problem !== undefined) {
      checks.push(wrong("beacon", `${file.name}: ${problem}`))
      continue
    }
    number = numberOf(seal, beacon.success)
    checks.push(proven(NUMBER, `${file.name}: drand round ${round} gives ${number}`))
  }
  return { checks, number }
})

/** The results of this seal, and a check for each other one. */
const openResults = (given: Given, sealed: OpenedSeal) => {
  const checks: Array<Check> = []
  const results: Array<NamedResult> = []
  const root = rootOf(sealed.checkpoint)
  for (const file of given.results) {
    const { name } = file
    const opened = decode(file, "result", (text) => openResult(text, given.operator))
    if (Result.isFailure(opened)) {
      checks.push(wrong(RESULT, `${name}: ${opened.failure}`))
      continue
    }
    const result = opened.success
    if (result.draw !== sealed.seal.draw) {
      checks.push(wrong(RESULT, `${name}: is of draw ${result.draw}, expected ${sealed.seal.draw}`))
    } else if (rootOf(result) !== root) {
      const text = `${name} is signed for another seal: root ${rootOf(result)}, not ${root}`
      checks.push(forged("two seals", text))
    } else results.push({ name, result })
  }
  return { checks, results }
}

/** Returns why the result's round is not the sealed one; undefined if it is. */
const roundProblem = Effect.fnUntraced(function* ({ source }: Seal, { beacon }: DrawResult) {
  if (source._tag === "drand") {
    return beacon === undefined ? "names no round" : yield* beaconProblem(source.round, beacon)
  }
  return beacon === undefined ? undefined : "names a round, but the seal does not"
})

/** Every book has a line, or only the agency's own, as agencies get it. */
const winnersChecks = ({ agencies }: Seal, { name, result }: NamedResult): ReadonlyArray<Check> => {
  const books = agencies.filter(isBook).map(({ agency }) => agency)
  const told = result.winners.map(({ agency }) => agency)
  const unknown = told.filter((agency) => !books.includes(agency))
  const missing = books.filter((agency) => !told.includes(agency))
  if (unknown.length > 0) {
    return [forged(RESULT, `${name} has winners of ${nameAgencies(unknown)}: no sealed book`)]
  }
  return told.length === 1 || missing.length === 0
    ? []
    : [forged(RESULT, `${name} leaves out the winners of ${nameAgencies(missing)}`)]
}

/** Two results of one seal must not contradict each other. */
const contradictions = ([first, ...others]: ReadonlyArray<NamedResult>): ReadonlyArray<Check> =>
  first === undefined
    ? []
    : others
        .filter(({ result }) => result.number !== first.result.number)
        .map(({ name, result }) =>
          forged(
            "two results",
            `the operator signed two numbers for this seal: ${first.name} has ` +
              `${first.result.number}, ${name} has ${result.number}; the two files prove it`
          )
        )

/** The numbers of results that nothing else shows. */
const unproven = (results: ReadonlyArray<NamedResult>): ReadonlyArray<Check> =>
  Array.from(
    Map.groupBy(results, ({ result }) => result.number),
    ([number, same]) => {
      const names = same.map(({ name }) => name).join(", ")
      return notProven(NUMBER, `that ${number} was drawn (only the operator says so, in ${names})`)
    }
  )

const resultCheck = ({ name, result }: NamedResult, number: number): Check => {
  const says = `${name} says ${result.number}`
  return result.number === number
    ? proven(RESULT, `${says}, which is the number`)
    : forged(RESULT, `${says}; the number is ${number}`)
}

export const checkNumber = Effect.fn("NumberCheck.checkNumber")(function* (
  given: Given,
  sealed: OpenedSeal
) {
  const { seal } = sealed
  const { source } = seal
  const { checks, results } = openResults(given, sealed)
  let number = source._tag === "fixed" ? source.number : undefined
  if (source._tag === "drand") {
    const found = yield* fromBeacons(given, seal, source.round)
    checks.push(...found.checks)
    number = found.number
  } else if (given.beacons.length > 0) {
    const names = given.beacons.map(({ name }) => name).join(", ")
    checks.push(wrong("beacon", `${names}: the number of this draw does not come from drand`))
  }
  for (const { name, result } of results) {
    const problem = yield* roundProblem(seal, result)
    if (problem !== undefined) checks.push(forged(RESULT, `${name}: ${problem}`))
    else if (result.beacon !== undefined && number === undefined) {
      number = numberOf(seal, result.beacon)
      const text = `${name} has drand round ${result.beacon.round}, which gives ${number}`
      checks.push(proven(NUMBER, text))
    }
  }
  const known = number
  checks.push(
    ...(known === undefined ? unproven(results) : results.map((one) => resultCheck(one, known)))
  )
  checks.push(...contradictions(results), ...results.flatMap((one) => winnersChecks(seal, one)))
  const told = number ?? results[0]?.result.number
  if (told === undefined) {
    checks.push(notProven(NUMBER, "the winning number (no valid beacon or result given)"))
  }
  if (results.length === 0) {
    checks.push(notProven(RESULT, "what the operator announced (no result of this seal given)"))
  }
  return { checks, number: told, results } satisfies NumberFound
})
