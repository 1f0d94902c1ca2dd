/**
 * Goal: a file that was given to the wrong flag, is damaged or is no such file is named as wrong,
 * not as forged, in one line that says what it is and what was expected. Method: an honest draw,
 * verified from real files with one mistake.
 */
import { truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as Given from "../../../src/cli/verify/Given.ts"
import { signResult } from "../../../src/protocol/notes/DrawResult.ts"
import { signReceipt } from "../../../src/protocol/notes/Receipt.ts"
import { proveEntry } from "../../../src/protocol/notes/TlogProof.ts"
import { operatorKey, vector } from "../../support/SealVectors.ts"
import * as Sealed from "../../support/sealed/SealedDraw.ts"
import { type FilesGiven, verifyFiles, write } from "../../support/sealed/verifyFiles.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const ROWS = Sealed.rowsOf(30)
const OTHER_ROWS = Sealed.rowsOf(3, 9000)
const BOOK = Sealed.bookOf(3, ROWS)
const HONEST = Sealed.signed(Sealed.sealOf([BOOK, Sealed.bookOf(5, OTHER_ROWS)]))

const source = { _tag: "drand", at: { round: 1000 } } as const
const { root, tree, entries, note } = HONEST
const SEAL = HONEST.file
const RECEIPT = signReceipt({ draw: "default", ...BOOK, source }, operatorKey)
const RESULT = signResult(
  { draw: "default", number: 1, root, beacon: undefined, winners: [] },
  operatorKey
)
const PROOF = proveEntry({ tree, index: 0, entry: entries[0]!, note })
const BEACON = vector("round-1000.json")

const failed = (more: Partial<FilesGiven>) =>
  Effect.map(verifyFiles({ seal: SEAL, ...more }), (found) => found.failed)

describe("a file for another flag", () => {
  it.effect.each<[about: string, more: Partial<FilesGiven>, reason: string]>([
    ["seal", { seal: RECEIPT }, "is a receipt, expected a seal; give it with --receipt"],
    ["seal", { seal: PROOF }, "is a proof, expected a seal; give it with --proof"],
    ["seal", { seal: "" }, "is empty, expected a seal"],
    ["seal", { seal: ROWS[0]! }, 'is not a seal: expected it to begin with "lottery-seal/v1 "'],
    ["receipt", { receipts: { file: SEAL } }, "is a seal, expected a receipt; give it with --seal"],
    ["result", { results: { file: BEACON } }, "is a drand round, expected a signed result; give"],
    ["proof", { proofs: { file: RESULT } }, "is a signed result, expected a proof; give it with"],
    ["beacon", { beacons: { file: RESULT } }, "is a signed result, expected a drand round; give"],
    ["other seal", { otherSeals: { file: "x" } }, "is not a seal: expected it to begin with"]
  ])("to %s", ([about, more, reason]) =>
    Effect.gen(function* () {
      const [found, ...others] = yield* failed(more)
      expect(found).toContain(`wrong: ${about}: `)
      expect(found).toContain(`: ${reason}`)
      expect(others).toEqual([])
    })
  )

  it.effect("and with lines that end in CRLF", () =>
    Effect.gen(function* () {
      const [found] = yield* failed({ seal: SEAL.replaceAll("\n", "\r\n") })
      expect(found).toBe(
        "wrong: seal: seal: its lines end in CRLF, expected LF: get the file again, unconverted"
      )
    })
  )
})

describe("a book", () => {
  it.effect("of another agency", () =>
    Effect.gen(function* () {
      const books = { 3: OTHER_ROWS.join(""), 5: ROWS.join("") }
      const mixed = ["is the book of agency 5, not 3", "is the book of agency 3, not 5"]
      expect(yield* failed({ books, own: books })).toEqual([
        `wrong: book 3: book-3 ${mixed[0]}`,
        `wrong: book 5: book-5 ${mixed[1]}`,
        `wrong: own copy 3: own-3 ${mixed[0]}`,
        `wrong: own copy 5: own-5 ${mixed[1]}`
      ])
    })
  )

  it.effect("as an own copy, with no bet at all", () =>
    Effect.gen(function* () {
      const [found, ...others] = yield* failed({ own: { 3: SEAL } })
      expect(found).toContain("wrong: own copy 3: own-3 has no bets; its first bad line is own-3:1")
      expect(others).toEqual([])
    })
  )

  it.effect("with lines that end in CRLF; as an own copy it fits", () =>
    Effect.gen(function* () {
      const crlf = { 3: ROWS.join("").replaceAll("\n", "\r\n") }
      expect(yield* failed({ books: crlf, own: crlf })).toEqual([
        "wrong: book 3: book-3: its lines end in CRLF, expected LF: export the book again"
      ])
    })
  )
})

it.effect("a folder and a pipe are no books", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const named = write(folder, { seal: SEAL })
    const refusal = (file: string) =>
      Effect.map(
        Effect.flip(Given.read({ ...named, books: [{ agency: 3, file }] })),
        ({ message }) => message
      )
    expect(yield* refusal(folder)).toBe(`${folder}: is a folder, expected a file`)
    expect(yield* refusal("/dev/null")).toBe(
      "/dev/null: cannot be read twice; save it as a file first"
    )
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
)

it.effect("a text that is far too large is not read", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const seal = join(folder, "huge")
    writeFileSync(seal, "")
    truncateSync(seal, 2 ** 28 + 1)
    const { message } = yield* Effect.flip(Given.read({ ...write(folder, { seal: SEAL }), seal }))
    expect(message).toBe(`${seal}: has 268435457 bytes, expected at most 268435456; is it a book?`)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
)
