/** Measures several things in turns, so that whatever else the machine does meets all of them. */
import { spawnSync } from "node:child_process"
import { Effect } from "effect"
import { median } from "./ProcessFigures.ts"

/** What was measured in each round, by name; a name that could not be measured is not there. */
export type Rounds<Name extends string, Figures> = ReadonlyArray<Readonly<Record<Name, Figures>>>

/** Says on standard error what goes on. */
export const tell = (text: string) =>
  Effect.sync(() => {
    process.stderr.write(`${text}\n`)
  })

/** Figures in short. */
const short = (_key: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(4)) : value

/** What is written and not yet on the disk is nobody's who is measured next. */
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
      yield* tell(`  ${round}/${rounds} ${name}: ${JSON.stringify(figures[name], short)}`)
    }
    all.push(figures)
  }
  return all
})

/** The median of a figure over all rounds. */
export const medianOf = <Round>(
  rounds: ReadonlyArray<Round>,
  figure: (round: Round) => number
): number => median(rounds.map(figure))
