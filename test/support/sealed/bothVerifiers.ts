/** Gives the same files to `lottery verify` and to the independent verifier in Python. */
import { execFile, spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect, Result, Schema } from "effect"
import { isFailure } from "../../../src/cli/verify/Check.ts"
import * as Given from "../../../src/cli/verify/Given.ts"
import { verify } from "../../../src/cli/verify/Verify.ts"
import { parseKey, showKey } from "../../../src/protocol/notes/SignedNote.ts"
import { operator, witness } from "../SealVectors.ts"

const VERIFIER = join(import.meta.dirname, "../../cli/verify/independent/verifier.py")
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** Why the Python verifier cannot run; undefined if it can. */
export const missingPython =
  spawnSync("python3", ["-c", "print(1)"]).status === 0 ? undefined : "python3 is missing"

type Content = string | Uint8Array

/** One verification: each flag and its value; a file comes with its content. */
export interface Case {
  readonly name: string
  /** What the formats say of it; undefined if only the agreement counts. */
  readonly fits?: boolean
  readonly keys?: { readonly operator?: string; readonly witness?: string }
  readonly seal: Content
  readonly witness?: boolean
  readonly others?: ReadonlyArray<Content>
  readonly beacons?: ReadonlyArray<Content>
  readonly results?: ReadonlyArray<Content>
  readonly receipts?: ReadonlyArray<Content>
  readonly proofs?: ReadonlyArray<Content>
  readonly books?: Readonly<Record<number, Content>>
}

interface Verdict {
  readonly fits: boolean
  readonly problems: ReadonlyArray<string>
}

const KEYS = { operator: showKey(operator), witness: showKey(witness) }

/** Writes each content once; equal contents share a file. */
const writer = (folder: string) => {
  const names = new Map<string, string>()
  return (content: Content): string => {
    const key = Buffer.from(content).toString("latin1")
    const known = names.get(key)
    if (known !== undefined) return known
    const name = join(folder, `${names.size}`)
    writeFileSync(name, content)
    names.set(key, name)
    return name
  }
}

type Files = Omit<Given.Named, "operator" | "witnesses">

const filesOf = (put: (content: Content) => string, given: Case): Files => ({
  seal: put(given.seal),
  otherSeals: (given.others ?? []).map(put),
  beacons: (given.beacons ?? []).map(put),
  results: (given.results ?? []).map(put),
  receipts: (given.receipts ?? []).map(put),
  proofs: (given.proofs ?? []).map(put),
  books: Object.entries(given.books ?? {}).map(([agency, content]) => ({
    agency: Number(agency),
    file: put(content)
  })),
  own: [],
  evidence: []
})

const argumentsOf = ({ keys = {}, ...given }: Case, files: Files): ReadonlyArray<string> => {
  const each = (flag: string, values: ReadonlyArray<string>) =>
    values.map((value) => `--${flag}=${value}`)
  return [
    `--seal-vkey=${keys.operator ?? KEYS.operator}`,
    `--seal=${files.seal}`,
    ...each("witness", given.witness === true ? [keys.witness ?? KEYS.witness] : []),
    ...each("other-seal", files.otherSeals),
    ...each("beacon", files.beacons),
    ...each("result", files.results),
    ...each("receipt", files.receipts),
    ...each("proof", files.proofs),
    ...each(
      "book",
      files.books.map(({ agency, file }) => `${agency}=${file}`)
    )
  ]
}

const keyOf = (kind: "ed25519" | "cosignature", text: string) =>
  Result.filterOrFail(
    parseKey(text),
    (key) => key.kind === kind,
    () => `expected a key of kind ${kind}`
  )

/** The verdict of `lottery verify`, in this process. */
const ours = Effect.fnUntraced(function* ({ keys = {}, witness = false }: Case, files: Files) {
  const operator = keyOf("ed25519", keys.operator ?? KEYS.operator)
  const other = keyOf("cosignature", keys.witness ?? KEYS.witness)
  if (Result.isFailure(operator)) return { fits: false, problems: [operator.failure] }
  if (Result.isFailure(other)) return { fits: false, problems: [other.failure] }
  const witnesses = witness ? [other.success] : []
  const named = { ...files, operator: operator.success, witnesses }
  const { checks, fits } = yield* verify(yield* Given.read(named))
  return { fits, problems: checks.filter(isFailure).map(({ text }) => text) }
})

const Answer = Schema.fromJsonString(
  Schema.Struct({ code: Schema.Literals([0, 1]), problems: Schema.Array(Schema.String) })
)
const decodeAnswer = Schema.decodeSync(Answer)

/** The verdicts of the Python verifier: one process reads all the arguments. */
const theirs = (lines: ReadonlyArray<ReadonlyArray<string>>) =>
  Effect.callback<ReadonlyArray<Verdict>, Error>((resume) => {
    const options = {
      maxBuffer: MAX_OUTPUT_BYTES,
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", PYTHONUTF8: "1" }
    }
    const child = execFile("python3", [VERIFIER, "--batch"], options, (error, stdout, stderr) => {
      if (error !== null) {
        resume(Effect.fail(new Error(`${error.message}\n${stderr}`)))
        return
      }
      const answers = stdout
        .trimEnd()
        .split("\n")
        .map((line) => decodeAnswer(line))
      resume(Effect.succeed(answers.map(({ code, problems }) => ({ fits: code === 0, problems }))))
    })
    child.stdin?.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))
    return Effect.sync(() => child.kill())
  })

/** Verifies every case twice, at the same time. Returns the verdicts in order. */
export const verifyBoth = Effect.fnUntraced(function* (folder: string, cases: ReadonlyArray<Case>) {
  mkdirSync(folder, { recursive: true })
  const put = writer(folder)
  const all = cases.map((one) => ({ one, files: filesOf(put, one) }))
  const python = theirs(all.map(({ files, one }) => argumentsOf(one, files)))
  const here = Effect.forEach(all, ({ files, one }) => ours(one, files))
  const [typescript, other] = yield* Effect.all([here, python], { concurrency: 2 })
  return cases.map((one, index) => ({
    one,
    ours: typescript[index],
    theirs: other[index]
  }))
}, Effect.provide(NodeServices.layer))
