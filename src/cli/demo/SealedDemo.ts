/**
 * The sealed draw of `lottery demo --sealed`: its key, the number, which is announced after the
 * seal, and the audit, which also finds a bet that was put in after the draw.
 */
import { Console, Deferred, Effect, FileSystem, Path, Stream } from "effect"
import { DEFAULT_WINNING_NUMBER } from "../../domain/Draw.ts"
import { fileUnavailable } from "../../domain/FileUnavailable.ts"
import * as TrialSealKey from "../files/TrialSealKey.ts"
import { writeWhole } from "../files/WholeFile.ts"
import * as DemoProcess from "./DemoProcess.ts"

const DRAW = "demo"
const NAME = "lottery.example"
const KEY = "seal-key.pem"
const OWNER_ONLY = 0o600
const SEAL = `${DRAW}.seal`
const RESULT = `${DRAW}.result`
/** The agency whose book the audit reads. */
const AUDITED = 1
const EXPORTED = `export-${AUDITED}.csv`
const FORGED = `forged-${AUDITED}.csv`
/** Lines that are shown of each end of a long seal. */
const SHOWN_LINES = 6

export type SealedDemo = Effect.Success<ReturnType<typeof make>>

const evidenceOf = (agency: number) => `evidence-${agency}`

const shortened = (lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  const left = lines.length - 2 * SHOWN_LINES
  if (left <= 1) return lines
  return [...lines.slice(0, SHOWN_LINES), `… ${left} more lines`, ...lines.slice(-SHOWN_LINES)]
}

/** Returns a book with one more winning bet, in its middle. */
const forge = (rows: ReadonlyArray<string>): ReadonlyArray<string> => {
  const middle = Math.floor(rows.length / 2)
  const bet = `Ana,Pérez,30904465,1999-03-17,${DEFAULT_WINNING_NUMBER}`
  return [...rows.slice(0, middle), bet, ...rows.slice(middle)]
}

const show = (title: string, lines: ReadonlyArray<string>) =>
  Console.log(["", title, ...lines.map((line) => `  ${line}`.trimEnd())].join("\n"))

/** Prepares the sealed draw of a demo, whose files are in this folder. */
export const make = Effect.fnUntraced(function* (folder: string, store: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const inFolder = (name: string) => path.join(folder, name)
  const write = (
    name: string,
    lines: ReadonlyArray<string>,
    options?: { readonly mode: number }
  ) => {
    const text = Stream.fromIterable(lines.map((line) => `${line}\n`))
    return writeWhole(inFolder(name), Stream.encodeText(text), options)
  }
  const { pem, vkey } = yield* TrialSealKey.make(NAME)
  yield* write(KEY, [pem.trimEnd()], { mode: OWNER_ONLY })
  const sealed = yield* Deferred.make<void>()

  const run = (
    [command, ...args]: readonly [command: string, ...ReadonlyArray<string>],
    expected: { readonly code?: number; readonly lastAction?: string } = {}
  ) => DemoProcess.run(`lottery ${command}`, [command, ...args], { folder, ...expected })
  const onStore = (command: string, ...args: ReadonlyArray<string>) =>
    [command, "--store", store, "--draw", DRAW, ...args] as const

  const announce = Effect.gen(function* () {
    yield* Deferred.await(sealed)
    const number = ["--number", `${DEFAULT_WINNING_NUMBER}`, "--yes"]
    yield* run(onStore("draw", ...number), { lastAction: "number_announced" })
  })

  const verify = (book: string, code: number) => {
    const given = ["--seal", SEAL, "--result", RESULT, "--evidence", evidenceOf(AUDITED)]
    const args = ["--seal-vkey", vkey, ...given, "--book", `${AUDITED}=${book}`]
    return run(["verify", ...args], { code })
  }

  const audit = Effect.gen(function* () {
    yield* run(onStore("seal", "--out", SEAL))
    yield* run(onStore("result", "--out", RESULT))
    const rows = yield* run(onStore("export", "--agency", `${AUDITED}`))
    yield* write(EXPORTED, rows)
    yield* write(FORGED, forge(rows))
    const seal = inFolder(SEAL)
    const text = yield* Effect.mapError(fs.readFileString(seal), fileUnavailable(seal))
    yield* show(
      "The seal, signed before the number was known:",
      shortened(text.trimEnd().split("\n"))
    )
    yield* show("What lottery verify says of it:", yield* verify(EXPORTED, 0))
    const found = (yield* verify(FORGED, 1)).filter((line) => /^(forged|verdict)/.test(line))
    yield* show("And after a winning bet was put into a book:", found)
  })

  return {
    serverArgs: [
      ...["--draw", DRAW, "--number-from", "announced"],
      ...["--seal-key", inFolder(KEY), "--seal-name", NAME]
    ],
    clientArgs: (agency: number) => [
      ...["--draw", DRAW, "--seal-vkey", vkey],
      ...["--evidence", inFolder(evidenceOf(agency))]
    ],
    onSealed: Effect.asVoid(Deferred.succeed(sealed, undefined)),
    /** Announces the number once the draw is sealed. */
    announce,
    /** Shows the seal, verifies the draw, and verifies a forged book. */
    audit
  }
})
