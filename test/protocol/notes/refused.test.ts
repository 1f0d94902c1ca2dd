/**
 * Goal: every file that the format names as refused is refused, for its own reason. Method: the
 * published seal with one thing wrong, once as it stands, and once signed again by the operator, so
 * that the signature does not hide what else is checked.
 */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { decodeUtf8 } from "../../../src/domain/BetCheck.ts"
import { isSignedByQuicknet } from "../../../src/domain/seal/BeaconSignature.ts"
import { CHAIN } from "../../../src/domain/seal/Quicknet.ts"
import { parseBeacon } from "../../../src/protocol/notes/BeaconFile.ts"
import { openResult } from "../../../src/protocol/notes/DrawResult.ts"
import { openReceipt } from "../../../src/protocol/notes/Receipt.ts"
import { openSealFile, showSealFile, splitSealFile } from "../../../src/protocol/notes/SealFile.ts"
import { sign } from "../../../src/protocol/notes/SignedNote.ts"
import {
  cosign,
  operator,
  operatorKey,
  ROUNDS,
  sealFileOf,
  vector,
  vectorBytes,
  witness
} from "../../support/SealVectors.ts"

const file = vector("default.seal")
const { entries, note } = Result.getOrThrow(splitSealFile(file))
const lines = entries.split(/(?<=\n)/)
const [FIRST = "", BOOK_1 = "", BOOK_2 = "", MARK_1 = "", MARK_2 = ""] = lines
const checkpoint = note.slice(0, note.indexOf("\n\n") + 1)
const [OPERATORS = "", WITNESSES = ""] = note.slice(checkpoint.length + 1).split(/(?<=\n)/)

const failureOf = (file: string): string =>
  Result.match(openSealFile(file, operator, [witness]), {
    onFailure: (problem) => problem,
    onSuccess: () => "opened"
  })

describe("a seal of entries", () => {
  it.each([
    ["without one", entries.replace(BOOK_2, ""), /^line 1: AGENCIES: expected 2, the agencies/],
    [
      "with one repeated",
      entries.replace(BOOK_2, BOOK_2 + BOOK_2),
      /^line 4: expected an agency af/
    ],
    [
      "with two exchanged",
      entries.replace(BOOK_1 + BOOK_2, BOOK_2 + BOOK_1),
      /^line 3: expected an ag/
    ],
    ["with CRLF", entries.replaceAll("\n", "\r\n"), /^line 1: SOURCE: ROUND: expected .*1000\\r"$/],
    [
      "with a leading zero",
      entries.replace("k 7 5000", "k 7 05000"),
      /^line 6: BETS: .*, got "05000"$/
    ],
    [
      "with upper-case hex",
      entries.replace("3e9f1c9d", "3E9F1C9D"),
      /^line 6: SHA256: expected 64 dig/
    ],
    [
      "with another sum of bets",
      entries.replace("5001", "5002"),
      /^line 1: BETS: expected 5001, the/
    ],
    [
      "with another sum of agencies",
      entries.replace("t 3 ", "t 2 "),
      /^line 1: AGENCIES: expected 3, /
    ],
    [
      "with a mark missing",
      entries.replace(MARK_2, ""),
      /^line 5: expected 2 marks before a book of/
    ],
    [
      "with a mark of another agency",
      entries.replace(MARK_1, MARK_1.replace("7", "6")),
      /^line 5: expected a mark or the book of agency 6, got a mark of 7$/
    ],
    [
      "with an unknown chain",
      entries.replace(CHAIN, "0".repeat(64)),
      /^line 1: SOURCE: expected drand/
    ],
    [
      "with SEALED-AT at its round",
      sealedAt(1_692_806_364),
      /^line 1: SEALED-AT: expected before 1692/
    ],
    [
      "with SEALED-AT after its round",
      sealedAt(1_692_806_365),
      /^line 1: SEALED-AT: .* got 1692806365$/
    ]
  ])("%s is refused, as changed and as signed", (_, changed, problem) => {
    expect(changed).not.toBe(entries)
    expect(failureOf(sealFileOf(changed))).toMatch(problem)
    expect(failureOf(showSealFile({ entries: changed, note }))).toMatch(/^expected the .*signed, /)
  })

  it("with SEALED-AT just before its round is opened", () => {
    expect(failureOf(sealFileOf(sealedAt(1_692_806_363)))).toBe("opened")
  })

  function sealedAt(time: number): string {
    return entries.replace(FIRST, FIRST.replace("1692806304", String(time)))
  }
})

describe("a seal", () => {
  const noted = (text: string, ...lines: ReadonlyArray<string>): string =>
    showSealFile({ entries, note: `${sign(text, operatorKey)}${lines.join("")}` })
  const [, SIZE = "", ROOT = ""] = checkpoint.split("\n")
  const otherText =
    /^expected a signature by lottery\.example of this text: one of the two was changed$/

  it.each([
    ["in CRLF", file.replaceAll("\n", "\r\n"), "expected the entries, an empty line and a note"],
    ["without entries", `\n${note}`, "expected the entries, an empty line and a note"],
    ["without a note", entries, "expected the entries, an empty line and a note"],
    [
      "without its note's signatures",
      `${entries}\n${checkpoint}`,
      /^expected an empty line before/
    ],
    [
      "with a byte order mark",
      `\ufeff${file}`,
      /^expected the entries that were signed, .*line 1: exp/
    ],
    [
      "with half a character",
      file.replace("book", "\ud800"),
      /^expected the entries that were signed/
    ],
    [
      "with the checkpoint of another draw",
      noted(checkpoint.replace("default", "other")),
      "checkpoint: ORIGIN: expected lottery.example/default, got lottery.example/other"
    ],
    [
      "with a checkpoint of four lines",
      noted(`${checkpoint}more\n`),
      /^checkpoint: expected .* 3 lines/
    ],
    [
      "with a checkpoint of two lines",
      noted("lottery.example/default\n6\n"),
      /^checkpoint: .* got 2$/
    ],
    [
      "with another size",
      noted(checkpoint.replace("\n6\n", "\n7\n")),
      /^expected the 7 entries that we/
    ],
    [
      "with a size in other digits",
      noted(checkpoint.replace("\n6\n", "\n06\n")),
      /^checkpoint: line 2: /
    ],
    ["with no origin", noted(`\n${SIZE}\n${ROOT}\n`), /^checkpoint: line 1: ORIGIN: /],
    [
      "with a short root",
      noted(checkpoint.replace(ROOT, "AAAA")),
      /^checkpoint: line 3: ROOT: expected t/
    ],
    [
      "with the root unpadded",
      noted(checkpoint.replace("=", "")),
      /^checkpoint: line 3: ROOT: expected/
    ],
    [
      "with another root",
      noted(checkpoint.replace("PYyu", "PYyv")),
      /^expected the entries that were si/
    ],
    ["with another text", file.replace("\n6\n", "\n5\n"), otherText],
    [
      "signed by a witness only",
      file.replace(OPERATORS, ""),
      "expected a signature by lottery.example+9b6c648b, got only those of witnesses"
    ],
    [
      "with a wrong signature of a known witness",
      file.replace(WITNESSES, WITNESSES.replace("QH64", "QH65")),
      "expected a cosignature by auditor.example/w1 of this text: one of the two was changed"
    ],
    [
      "with a witness's line for another text",
      file.replace(WITNESSES, cosign(checkpoint.replace("6", "7"), 1_692_806_309)),
      "expected a cosignature by auditor.example/w1 of this text: one of the two was changed"
    ],
    [
      "with a wrong signature of the operator beside a witness's",
      file.replace(OPERATORS, OPERATORS.replace("OrmZ", "OrmY")),
      otherText
    ]
  ])("%s is refused", (_, refused, problem) => {
    expect(refused).not.toBe(file)
    expect(failureOf(refused)).toMatch(problem)
  })

  it("of invalid UTF-8 is no text", () => {
    const bytes = vectorBytes("default.seal")
    expect(decodeUtf8(bytes)).toBe(file)
    bytes[bytes.indexOf("book")] = 0xff
    expect(decodeUtf8(bytes)).toBeUndefined()
  })
})

describe("a receipt", () => {
  const text = vector("receipt-7").split("\n\n")[0]!
  const signed = (text: string) => openReceipt(sign(`${text}\n`, operatorKey), operator)

  it.each([
    [
      "another version",
      text.replace("/v1", "/v2"),
      /^expected "lottery-receipt\/v1 DRAW AGENCY BETS/
    ],
    [
      "a field less",
      text.replace(" 7 ", " "),
      /^expected "lottery-receipt\/v1 DRAW AGENCY BETS SHA25/
    ],
    [
      "a leading zero",
      text.replace(" 5000", " 05000"),
      /^BETS: expected a whole number .*, got "05000"/
    ],
    ["upper-case hex", text.replace("3e9f", "3E9F"), /^SHA256: expected 64 digits of 0-9a-f, got/],
    [
      "agency 0",
      text.replace(" 7 ", " 0 "),
      /^AGENCY: expected a whole number from 1 to 2147483647/
    ],
    ["an unknown chain", text.replace(CHAIN, "0".repeat(64)), /^RULE: expected drand\/52db/],
    ["no rule", text.replace(/drand.*/, ""), /^RULE: expected drand\/52db.*, got ""$/],
    ["a second line", `${text}\nmore`, "expected a receipt of one line"]
  ])("with %s is refused", (_, changed, problem) => {
    expect(changed).not.toBe(text)
    expect(signed(changed)).toMatchObject({ failure: expect.stringMatching(problem) })
  })

  it("of another text, or by a witness, is refused", () => {
    expect(openReceipt(vector("receipt-7").replace("5000", "5001"), operator)).toMatchObject({
      failure: "expected a signature by lottery.example of this text: one of the two was changed"
    })
    expect(Result.isFailure(openReceipt(vector("receipt-7"), witness))).toBe(true)
  })
})

describe("a result", () => {
  const text = vector("default.result").split("\n\n")[0]!
  const signed = (text: string) => openResult(sign(`${text}\n`, operatorKey), operator)
  const { signature } = ROUNDS[1]

  it.each([
    [
      "another version",
      text.replace("/v1", "/v2"),
      /^line 1: expected "lottery-result\/v1 DRAW NUMBER"/
    ],
    [
      "a number too large",
      text.replace("6286", "10000"),
      /^line 1: NUMBER: expected .* 0 to 9999 /
    ],
    ["leading zeros", text.replace("6286", "0286"), /^line 1: NUMBER: .*, got "0286"$/],
    ["no seal", text.replace(/seal .*\n/, ""), /^line 2: expected "seal ROOT", got "beacon/],
    [
      "a short root",
      text.replace(/seal .*/, "seal AAAA"),
      /^line 2: ROOT: expected the base64 of 32/
    ],
    ["an empty text", "", /^line 1: expected "lottery-result\/v1 DRAW NUMBER", got ""$/],
    ["no second line", "lottery-result/v1 default 6286", /^line 2: expected "seal ROOT", got ""$/],
    ["round 0", text.replace("beacon 1000", "beacon 0"), /^line 3: ROUND: expected .* from 1 to /],
    ["a short signature", text.replace(signature, "00"), /^line 3: SIGNATURE: expected 96 digits/],
    [
      "two beacons",
      text.replace(/(beacon .*\n)/, "$1$1"),
      /^line 4: expected "winners AGENCY COUNT"/
    ],
    [
      "a beacon at the end",
      text.replace(/(beacon .*\n)([\s\S]*)/, "$2\n$1").trim(),
      /^line 6: expected "w/
    ],
    [
      "agencies exchanged",
      text.replace("winners 2", "winners 9"),
      /^line 6: expected an agency after 9/
    ],
    [
      "an agency twice",
      text.replace("winners 2", "winners 1"),
      /^line 5: expected an agency after 1, g/
    ],
    [
      "a leading zero",
      text.replace("winners 2 0", "winners 2 00"),
      /^line 5: COUNT: .*, got "00"$/
    ],
    [
      "an empty line",
      text.replace("winners 2 0\n", "\n"),
      /^line 5: expected "winners AGENCY COUNT", g/
    ]
  ])("with %s is refused", (_, changed, problem) => {
    expect(changed).not.toBe(text)
    expect(signed(changed)).toMatchObject({ failure: expect.stringMatching(problem) })
  })

  it("of another text is refused", () => {
    expect(openResult(vector("default.result").replace("6286", "6287"), operator)).toMatchObject({
      failure: "expected a signature by lottery.example of this text: one of the two was changed"
    })
  })
})

describe("a beacon", () => {
  const { round, signature } = ROUNDS[1]

  it.each([
    ["of another round", { round: 1001, signature }],
    ["with a flipped bit", { round, signature: signature.replace("b446", "b447") }],
    ["that is the identity", { round, signature: `c0${"0".repeat(94)}` }]
  ])("%s is read, and is not genuine", (_, beacon) => {
    const read = Result.getOrThrow(parseBeacon(JSON.stringify(beacon)))
    expect(isSignedByQuicknet(read)).toBe(false)
  })

  it.each([
    ["of 47 bytes", { round, signature: signature.slice(2) }],
    ["of other randomness", { round, signature, randomness: ROUNDS[2].randomness }]
  ])("%s is refused", (_, beacon) => {
    expect(Result.isFailure(parseBeacon(JSON.stringify(beacon)))).toBe(true)
  })
})
