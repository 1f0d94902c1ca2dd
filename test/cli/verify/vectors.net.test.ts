/**
 * Goal: the built command verifies the published vectors, each line as documented, with the exit
 * codes and output of a command; frauds reach its exit code, its JSON and its lines. Method: runs
 * it on the vectors, which two other programs made and verified, and on changed ones.
 */
import { createHash } from "node:crypto"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { afterAll, describe, expect } from "vitest"
import { Report } from "../../../src/cli/verify/Report.ts"
import { showKey } from "../../../src/protocol/notes/SignedNote.ts"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { book7, operator, vector, witness } from "../../support/SealVectors.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const EXPECTED = readFileSync(join(import.meta.dirname, "vectors.txt"), "utf8")

const [OPERATOR, WITNESS] = [showKey(operator), showKey(witness)]

/** The files as published, and the book of agency 7, which is described instead. */
const VECTORS = mkdtempSync(join(tmpdir(), "lottery-vectors-"))
cpSync(join(import.meta.dirname, "../../protocol/notes/vectors"), VECTORS, { recursive: true })
writeFileSync(join(VECTORS, "book-7"), book7)
afterAll(() => rmSync(VECTORS, { recursive: true }))

const verify = (...args: ReadonlyArray<string>) =>
  Effect.map(
    runLottery({ args: ["verify", "--seal-vkey", OPERATOR, ...args], cwd: VECTORS }),
    ({ code, stderr, stdout }) => ({ code, stderr, stdout, lines: stdout.trimEnd().split("\n") })
  )

const SEAL = ["--seal", "default.seal"]
const BEACON = ["--beacon", "round-1000.json"]
const EVERYTHING = [
  ...[...SEAL, ...BEACON, "--witness", WITNESS, "--result", "default.result"],
  ...["--receipt", "receipt-7", "--receipt", "receipt-7-later", "--proof", "agency-7.tlog-proof"],
  ...["--book", "1=book-1", "--book", "2=book-2", "--book", "7=book-7", "--own", "7=book-7"]
]

describe("the vectors", () => {
  it.live("verify, each line as documented", () =>
    Effect.gen(function* () {
      const { code, lines, stderr } = yield* verify(...EVERYTHING)
      expect(`${lines.join("\n")}\n`).toBe(EXPECTED)
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    })
  )

  it.live("of an announced number verify, and say that it is the operator's word", () =>
    Effect.gen(function* () {
      const result = ["--result", "excluded.result", "--book", "1=book-1", "--book", "4=book-2"]
      const { code, lines } = yield* verify("--seal", "excluded.seal", ...result)
      expect(code).toBe(0)
      expect(lines).toContain("note: seal: excluded from the draw: agency 3")
      expect(lines).toContain(
        "not proven: number: that 7574 was drawn (only the operator says so, in excluded.result)"
      )
      expect(lines).toContain("proven: book 1: 1 winner with 7574, as excluded.result says")
    })
  )

  it.live("have the same checks as JSON, and nothing else on standard output", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* verify(...EVERYTHING, "--json")
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      const report = Schema.decodeSync(Schema.fromJsonString(Report))(stdout)
      expect(report).toMatchObject({ draw: "default", fits: true })
      expect(report.checks).toHaveLength(18)
    })
  )
})

describe("forged files", () => {
  it.live("are named with their place, in lines and in JSON, and exit with 1", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const book = join(folder, "forged")
      const row = "Ana,Pérez,9,1999-03-17,6286\n"
      const rows = book7.toString().split(/(?<=\n)/)
      writeFileSync(book, rows.toSpliced(3000, 0, row).join(""))
      const given = [...SEAL, ...BEACON, "--book", `7=${book}`]
      const { code, lines, stderr } = yield* verify(...given)
      expect({ code, stderr }).toEqual({ code: 1, stderr: "" })
      expect(lines).toContain(
        `forged: book 7: bet 3001 of ${book}, in the sealed bytes 65536 to 131072: ` +
          `a winner was put in: ${JSON.stringify(row.trimEnd())} was not sealed`
      )
      const json = yield* verify(...given, "--json")
      expect(json.code).toBe(1)
      const report = Schema.decodeSync(Schema.fromJsonString(Report))(json.stdout)
      expect(report.fits).toBe(false)
      const named = report.checks.find(({ cause }) => cause === "put in")
      const piece = { from: 65_536, to: 131_072 }
      expect(named).toMatchObject({ verdict: "forged", agency: 7, bet: 3001, piece })
    }).pipe(Effect.scoped)
  )

  it.live("a forged seal ends with one line, and so does text that could fake a line", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const seal = join(folder, "seal\u001b[2K")
      writeFileSync(seal, vector("default.seal").replace("book 1 1", "book 1 2"))
      const { code, lines } = yield* verify("--seal", seal, ...BEACON)
      expect(code).toBe(1)
      expect(lines).toHaveLength(2)
      expect(lines[0]).toMatch(/^forged: seal: .*expected the entries that were signed/)
      expect(lines.join()).not.toContain("\u001b")
    }).pipe(Effect.scoped)
  )
})

describe("wrong usage", () => {
  it.live.each([
    [["--book", "7"], "book from the flag --book: expected an agency and its file"],
    [["--own", "0=x"], "own from the flag --own: expected an agency and its file"],
    [["--witness", OPERATOR], "witness from the flag --witness: expected a witness's verifier key"],
    [["--receipt", ""], "receipt from the flag --receipt: expected non-empty text"]
  ] as const)("%s exits with 2", ([args, said]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* verify(...SEAL, ...args)
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toContain(said)
    })
  )

  it.live("a missing seal or key exits with 2", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* verify()
      expect(code).toBe(2)
      expect(stderr).toContain("seal is missing: use the flag --seal")
      const outcome = yield* runLottery({ args: ["verify", "--seal-vkey", WITNESS, ...SEAL] })
      expect(outcome.code).toBe(2)
      expect(outcome.stderr).toContain("expected an operator's verifier key")
    })
  )

  it.live.each([
    [["--beacon", "missing"], "missing: no such file or folder"],
    [["--book", "7=missing"], "missing: no such file or folder"],
    [["--own", "7=."], ".: is a folder, expected a file"],
    [["--evidence", "missing"], "missing: no such file or folder"],
    [["--evidence", "."], ".: has no evidence such as agency-1.receipt"]
  ] as const)("%s cannot be read: one line, and exits with 1", ([args, said]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* verify(...SEAL, ...args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr.trimEnd().split("\n")).toHaveLength(1)
      expect(stderr).toContain(said)
    })
  )
})

it("the vectors are those of the published formats", () => {
  const hash = createHash("sha256").update(vector("default.seal")).digest("hex")
  expect(hash).toBe("d866694e721cc67cd8bd26d6e15f2c0a0a886855bd821b0b91f3c5a2ed201dfd")
})
