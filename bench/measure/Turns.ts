/** Measures several things alternately, so that other load on the machine affects all equally. */
import { spawnSync } from "node:child_process"
import { Effect } from "effect"
import { median } from "./ProcessFigures.ts"

export type Rounds<Name extends string, Figures> = ReadonlyArray<Readonly<Record<Name, Figures>>>

export const report = (text: string) =>
  Effect.sync(() => {
    process.stderr.write(`${text}\n`)
  })

const rounded = (_key: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(4)) : value

/** Flushes pending writes, so that the next measurement does not pay for them. */
const settle = Effect.sync(() => spawnSync("sync"))

export const inTurns = Effect.fnUntraced(function* <Name extends string, Figures, E, R>(
  rounds: number,
  measures: Readonly<Record<Name, Effect.Effect<Figures, E, R>>>
) {
  const all: Array<Record<Name, Figures>> = []
  for (let round = 1; round <= rounds; round++) {
    const figures = {} as Record<Name, Figures>
    for (const name of Object.keys(measures) as Array<Name>) {
      yield* settle
      figures[name] = yield* measures[name]
      yield* report(`  ${round}/${rounds} ${name}: ${JSON.stringify(figures[name], rounded)}`)
    }
    all.push(figures)
  }
  return all
})

export const medianOf = <Round>(
  rounds: ReadonlyArray<Round>,
  figure: (round: Round) => number
): number => median(rounds.map(figure))
