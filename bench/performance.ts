/**
 * Compares the lottery's performance with other tools and with the machine's limits. Prints one
 * table; a full run also writes the charts and tables of docs/performance.md. Every figure is a
 * median of several rounds, measured alternately with the figure that it is compared with.
 *
 * npm run bench [-- [--quick] [--write] [--rounds N] [SECTION…]]
 */
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import build from "../test/support/processes/buildCommand.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import * as Machine from "./measure/Machine.ts"
import { report } from "./measure/Turns.ts"
import * as PerformanceDocument from "./report/PerformanceDocument.ts"
import * as PerformanceTable from "./report/PerformanceTable.ts"
import { agencies } from "./sections/agencies.ts"
import { batches } from "./sections/batches.ts"
import { codecs } from "./sections/codecs.ts"
import { connections } from "./sections/connections.ts"
import { draw } from "./sections/draw.ts"
import type { Measure } from "./sections/Section.ts"
import { startUp } from "./sections/startUp.ts"
import { uploads } from "./sections/uploads.ts"

const SECTIONS: Readonly<Record<string, Measure>> = {
  uploads,
  batches,
  agencies,
  connections,
  draw,
  startup: startUp,
  codecs
}

const parse = () => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean" },
      write: { type: "boolean" },
      rounds: { type: "string" }
    }
  })
  const names = positionals.length > 0 ? positionals : Object.keys(SECTIONS)
  const unknown = names.find((name) => !(name in SECTIONS))
  if (unknown !== undefined) {
    throw new Error(`expected one of ${Object.keys(SECTIONS).join(", ")}, got ${unknown}`)
  }
  const isQuick = values.quick === true
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
    throw new Error(`expected a number of rounds, got ${values.rounds}`)
  }
  const isFull = !isQuick && positionals.length === 0
  return { names, isQuick, rounds, isWritten: values.write === true || isFull }
}

const main = Effect.gen(function* () {
  const { isQuick, isWritten, names, rounds } = parse()
  const roundsOf = (usual: number) => rounds ?? usual
  yield* Effect.promise(build)
  const about = yield* Machine.describe
  const sections: Record<string, PerformanceTable.Section> = {}
  for (const name of names) {
    yield* report(`${name}:`)
    const measured = Effect.flatMap(temporaryFolder, (folder) =>
      SECTIONS[name]!({ folder, isQuick, roundsOf })
    )
    sections[name] = yield* Effect.scoped(measured)
  }
  yield* Console.log([...about, PerformanceTable.toText(Object.values(sections))].join("\n"))
  if (!isWritten) return
  yield* Effect.sync(() => PerformanceDocument.write(sections, about.join(" ")))
})

// An interruption also closes the scopes, which ends all processes and removes all files.
NodeRuntime.runMain(main)
