/** Verifies files of a test as `lottery verify` does. */
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Given from "../../../src/cli/verify/Given.ts"
import * as Report from "../../../src/cli/verify/Report.ts"
import { verify } from "../../../src/cli/verify/Verify.ts"
import { operator, witness } from "../SealVectors.ts"
import { temporaryFolder } from "../TemporaryFolder.ts"
import { ROUND_TIME } from "./SealedDraw.ts"

type Content = string | Uint8Array
type Files = Readonly<Record<string, Content>>

/** The content of each given file, by its name; `seal` is the seal's. */
export interface FilesGiven {
  readonly seal: Content
  /** Whether the witness's key is given. */
  readonly witness?: boolean
  readonly otherSeals?: Files
  readonly beacons?: Files
  readonly results?: Files
  readonly receipts?: Files
  readonly proofs?: Files
  readonly books?: Readonly<Record<number, Content>>
  readonly own?: Readonly<Record<number, Content>>
  /** The files of a folder of evidence. */
  readonly evidence?: Files
}

/** Writes the files; returns their names. */
export const write = (folder: string, given: FilesGiven): Given.Named => {
  const put = (name: string, content: Content): string => {
    const file = join(folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
    return file
  }
  const all = (files: Files = {}) => Object.entries(files).map(([name, text]) => put(name, text))
  const books = (kind: string, files: Readonly<Record<number, Content>> = {}) =>
    Object.entries(files).map(([agency, content]) => ({
      agency: Number(agency),
      file: put(`${kind}-${agency}`, content)
    }))
  for (const [name, content] of Object.entries(given.evidence ?? {})) put(`kept/${name}`, content)
  return {
    operator,
    witnesses: given.witness ? [witness] : [],
    seal: put("seal", given.seal),
    otherSeals: all(given.otherSeals),
    beacons: all(given.beacons),
    results: all(given.results),
    receipts: all(given.receipts),
    proofs: all(given.proofs),
    books: books("book", given.books),
    own: books("own", given.own),
    evidence: given.evidence === undefined ? [] : [join(folder, "kept")]
  }
}

/** Verifies the files; returns the report and its lines, in which file names have no folder. */
export const verifyFiles = Effect.fnUntraced(
  function* (given: FilesGiven) {
    const folder = yield* temporaryFolder
    // Birthdates in an own copy are compared with today.
    yield* TestClock.setTime(1000 * ROUND_TIME)
    const report = yield* verify(yield* Given.read(write(folder, given)))
    const lines = Report.linesOf(report).map((line) => line.replaceAll(`${folder}/`, ""))
    const failed = lines.filter((line) => /^(forged|wrong): /.test(line))
    return { report, lines, failed }
  },
  Effect.scoped,
  Effect.provide(NodeServices.layer)
)
