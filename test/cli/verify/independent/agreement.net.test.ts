/**
 * Goal: two verifiers that were written independently, this one and one in Python that was made
 * from the description of the formats alone, give the same verdict on everything. Method: gives
 * both the published vectors, everything that must be refused, every fraud, and random mutations
 * of each vector, as files and below a right signature. LOTTERY_TEST_SEED repeats the mutations.
 */
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import type { SealedBook } from "../../../../src/domain/seal/Seal.ts"
import { type DrawResult, signResult } from "../../../../src/protocol/notes/DrawResult.ts"
import { type Receipt, signReceipt } from "../../../../src/protocol/notes/Receipt.ts"
import { treeOf } from "../../../../src/protocol/notes/SealFile.ts"
import { sign } from "../../../../src/protocol/notes/SignedNote.ts"
import { proveEntry, showProof } from "../../../../src/protocol/notes/TlogProof.ts"
import { describeUnless } from "../../../support/describeUnless.ts"
import { Dice } from "../../../support/Mutation.ts"
import {
  book7,
  cosign,
  operatorKey,
  ROUNDS,
  sealFileOf,
  vector,
  vectorBytes
} from "../../../support/SealVectors.ts"
import { type Case, missingPython, verifyBoth } from "../../../support/sealed/bothVerifiers.ts"
import * as Sealed from "../../../support/sealed/SealedDraw.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const SEED = Number(process.env.LOTTERY_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))

const SEAL = vector("default.seal")
const END = SEAL.indexOf("\n\n") + 1
const [ENTRIES, NOTE] = [SEAL.slice(0, END), SEAL.slice(END + 1)]
const LINES = ENTRIES.split(/(?<=\n)/)
const PROOF = vector("agency-7.tlog-proof")
const RECEIPT = vector("receipt-7")
const BEACON = vector("round-1000.json")
const RESULT = vector("default.result")
const BOOKS = { 1: vectorBytes("book-1"), 2: vectorBytes("book-2"), 7: book7 }

const textOf = (note: string): string => note.slice(0, note.lastIndexOf("\n\n") + 1)
const CHECKPOINT = textOf(NOTE)

const vectors: ReadonlyArray<Case> = [
  {
    name: "everything",
    seal: SEAL,
    witness: true,
    others: [SEAL],
    beacons: [BEACON],
    results: [RESULT],
    receipts: [RECEIPT, vector("receipt-7-later")],
    proofs: [PROOF],
    books: BOOKS
  },
  { name: "the seal alone", seal: SEAL },
  { name: "only a result", seal: SEAL, results: [RESULT] },
  {
    name: "an announced draw without an agency",
    seal: vector("excluded.seal"),
    results: [vector("excluded.result")],
    books: { 1: BOOKS[1], 4: BOOKS[2] }
  }
].map((one) => ({ ...one, fits: true }))

/** A refused seal: as a changed file, and with its entries signed again. */
const refusedEntries: Readonly<Record<string, string>> = {
  "an entry missing": LINES.toSpliced(2, 1).join(""),
  "the first entry missing": LINES.slice(1).join(""),
  "an entry repeated": LINES.toSpliced(2, 0, LINES[2]!).join(""),
  "entries exchanged": LINES.with(1, LINES[2]!).with(2, LINES[1]!).join(""),
  CRLF: ENTRIES.replaceAll("\n", "\r\n"),
  "one CRLF": ENTRIES.replace("\n", "\r\n"),
  "a leading zero": ENTRIES.replace("book 2 ", "book 02 "),
  "a leading zero in BETS": ENTRIES.replace(" 5001 ", " 05001 "),
  "upper-case hex": ENTRIES.replace("864e37", "864E37"),
  "BETS not the sum": ENTRIES.replace(" 5001 ", " 5000 "),
  "AGENCIES not the number": ENTRIES.replace("default 3 ", "default 4 "),
  "a mark missing": LINES.toSpliced(4, 1).join(""),
  "all marks missing": LINES.toSpliced(3, 2).join(""),
  "a mark of another agency": ENTRIES.replace("mark 7 131072", "mark 8 131072"),
  "a mark too many": ENTRIES.replace("book 7", `mark 7 196608 ${"0".repeat(64)}\nbook 7`),
  "a mark without a book": `${ENTRIES}mark 9 65536 ${"0".repeat(64)}\n`,
  "another version": ENTRIES.replace("/v1", "/v2"),
  "an unknown chain": ENTRIES.replace("52db9b", "52db9c"),
  "no round": ENTRIES.replace("/1000\n", "/\n"),
  "round 0": ENTRIES.replace("/1000\n", "/0\n"),
  "two spaces": ENTRIES.replace("book 1 1", "book 1  1"),
  "a space at the end": ENTRIES.replace("/1000\n", "/1000 \n"),
  "agency 0": ENTRIES.replace("book 1 ", "book 0 "),
  "an agency that is too large": ENTRIES.replace(/book 7/, "book 2147483648").replaceAll(
    "mark 7",
    "mark 2147483648"
  ),
  "a number above 2^53-1": ENTRIES.replace(" 1692806304 ", " 9007199254740992 "),
  "SEALED-AT at the round": ENTRIES.replace(" 1692806304 ", " 1692806364 "),
  "SEALED-AT after the round": ENTRIES.replace(" 1692806304 ", " 1692806365 "),
  "a short salt": ENTRIES.replace(/0{1}7\n/, "\n")
}

const signedText = (text: string) => sign(text, operatorKey)
const [, OPERATOR_LINE = "", WITNESS_LINE = ""] = /\n\n(.*\n)(.*\n)$/.exec(NOTE) ?? []
const damaged = (line: string) =>
  line.replace(/(.)(.{10})(?==+\n|\n$)/, (_, one, rest) => `${one === "A" ? "B" : "A"}${rest}`)

const badWitness = (file: string) => file.replace(WITNESS_LINE, damaged(WITNESS_LINE))

const refusedSeals: Readonly<Record<string, string | Uint8Array>> = {
  "invalid UTF-8": Buffer.concat([Buffer.from(ENTRIES), Buffer.of(0xff), Buffer.from(NOTE)]),
  "a byte order mark": `\ufeff${SEAL}`,
  nothing: "",
  "no note": ENTRIES,
  "no entries": `\n${NOTE}`,
  "a checkpoint of another draw": `${ENTRIES}\n${signedText(
    CHECKPOINT.replace("/default", "/other")
  )}`,
  "a checkpoint of another name": `${ENTRIES}\n${signedText(
    CHECKPOINT.replace("lottery.example", "lottery.other")
  )}`,
  "a fourth line": `${ENTRIES}\n${signedText(`${CHECKPOINT}x\n`)}`,
  "an empty fourth line": `${ENTRIES}\n${signedText(`${CHECKPOINT}\n`)}`,
  "two lines": `${ENTRIES}\n${signedText(CHECKPOINT.replace(/[^\n]+\n$/, ""))}`,
  "another size": `${ENTRIES}\n${signedText(CHECKPOINT.replace("\n6\n", "\n7\n"))}`,
  "only a witness's signature": SEAL.replace(OPERATOR_LINE, ""),
  "no signature": SEAL.replace(OPERATOR_LINE, "").replace(WITNESS_LINE, ""),
  "a wrong signature of the witness": badWitness(SEAL),
  "a wrong signature of the operator": SEAL.replace(OPERATOR_LINE, damaged(OPERATOR_LINE)),
  "a right and a wrong signature of the operator": `${SEAL}${damaged(OPERATOR_LINE)}`,
  "another base64 of the same signature": SEAL.replace("ppgw=", "ppgx="),
  "another base64 of the same root": `${ENTRIES}\n${signedText(CHECKPOINT.replace("IU=", "IV="))}`,
  "a line that is no signature": `${SEAL}x\n`,
  "no LF at the end": SEAL.slice(0, -1),
  "an empty line at the end": `${SEAL}\n`
}

const HASH = `${"A".repeat(43)}=\n`
const hashes = PROOF.split("\n").slice(3, 5)
const refusedProofs: Readonly<Record<string, string>> = {
  "a hash too many": PROOF.replace("\n\n", `\n${HASH}\n`),
  "a hash too few": PROOF.replace(`${hashes[1]}\n`, ""),
  "no hashes": PROOF.replace(`${hashes.join("\n")}\n`, ""),
  "hashes exchanged": PROOF.replace(hashes.join("\n"), hashes.toReversed().join("\n")),
  "another base64 of a hash": PROOF.replace("ikQ=", "ikR="),
  "another index": PROOF.replace("index 5", "index 4"),
  "an index behind the end": PROOF.replace("index 5", "index 6"),
  "a leading zero": PROOF.replace("index 5", "index 05"),
  "no entry": PROOF.replace(/extra .*\n/, ""),
  "another entry": PROOF.replace("extra Ym", "extra Yn"),
  "an index and then the entry": PROOF.replace(/(extra .*\n)(index .*\n)/, "$2$1"),
  "of a public log": vector("sumdb.tlog-proof")
}

const SIGNATURE = ROUNDS[1].signature
const beaconOf = (more: object) => JSON.stringify({ round: 1000, signature: SIGNATURE, ...more })
const refusedBeacons: Readonly<Record<string, string>> = {
  "another round": JSON.stringify({ round: 1001, signature: ROUNDS[2].signature }),
  "another round's signature": beaconOf({ signature: ROUNDS[2].signature }),
  "another round's number": beaconOf({ round: 1001 }),
  "a flipped bit": beaconOf({ signature: SIGNATURE.replace(/9$/, "8") }),
  "the other sign": beaconOf({ signature: SIGNATURE.replace(/^b/, "9") }),
  "the identity": beaconOf({ signature: `c0${"0".repeat(94)}` }),
  "a point of another subgroup": beaconOf({ signature: `80${"0".repeat(93)}4` }),
  "47 bytes": beaconOf({ signature: SIGNATURE.slice(0, -2) }),
  "49 bytes": beaconOf({ signature: `${SIGNATURE}00` }),
  "a wrong randomness": beaconOf({ randomness: "0".repeat(64) }),
  "a randomness that is no text": beaconOf({ randomness: null }),
  "a round that is text": beaconOf({ round: "1000" }),
  "upper-case hex": beaconOf({ signature: SIGNATURE.toUpperCase() }),
  "an array": "[]",
  "no JSON": "x",
  nothing: "",
  "a byte order mark": `\ufeff${BEACON}`
}
const acceptedBeacons: Readonly<Record<string, string>> = {
  "randomness that agrees": beaconOf({ randomness: ROUNDS[1].randomness }),
  "a large number": `{"round":1000,"x":${"1".repeat(5000)},"signature":"${SIGNATURE}"}`,
  "deep values": beaconOf({ x: JSON.parse(`${"[".repeat(3000)}${"]".repeat(3000)}`) }),
  "other keys": beaconOf({ previous_signature: "00", x: { y: [1.5, "\ud800"] } }),
  "white space": ` \n${beaconOf({})}\n`,
  "a round with an exponent": `{"round":1e3,"signature":"${SIGNATURE}"}`
}

const refused: ReadonlyArray<Case> = [
  ...Object.entries(refusedEntries).flatMap(([name, entries]) => [
    { name: `a seal with ${name}`, seal: `${entries}\n${NOTE}` },
    { name: `a signed seal with ${name}`, seal: sealFileOf(entries) }
  ]),
  ...Object.entries(refusedSeals).map(([name, seal]) => ({
    name: `a seal with ${name}`,
    seal,
    witness: true
  })),
  ...Object.entries(refusedProofs).map(([name, proof]) => ({
    name: `a proof: ${name}`,
    seal: SEAL,
    proofs: [proof]
  })),
  ...Object.entries(refusedBeacons).map(([name, beacon]) => ({
    name: `a beacon: ${name}`,
    seal: SEAL,
    beacons: [beacon]
  })),
  {
    name: "a proof: another size, of an entry whose hashes are as many",
    seal: SEAL,
    proofs: [
      showProof({
        entry: LINES[0]!,
        index: 0,
        hashes: treeOf(ENTRIES).proofOf(0),
        note: signedText(CHECKPOINT.replace("\n6\n", "\n8\n"))
      })
    ]
  },
  {
    name: "a proof: a wrong signature of the witness",
    seal: SEAL,
    witness: true,
    proofs: [badWitness(PROOF)]
  },
  {
    name: "another seal with a wrong signature of the witness",
    seal: SEAL,
    witness: true,
    others: [badWitness(SEAL)]
  },
  { name: "a beacon of an announced draw", seal: vector("excluded.seal"), beacons: [BEACON] }
].map((one) => ({ ...one, fits: false }))

const accepted: ReadonlyArray<Case> = [
  ...Object.entries(acceptedBeacons).map(([name, beacon]) => ({
    name: `a beacon: ${name}`,
    seal: SEAL,
    beacons: [beacon]
  })),
  {
    name: "a seal with a wrong line of an unknown key",
    seal: badWitness(SEAL)
  },
  { name: "a witness that did not sign", seal: SEAL.replace(WITNESS_LINE, ""), witness: true },
  { name: "an operator's line twice", seal: `${SEAL}${OPERATOR_LINE}`, witness: true },
  { name: "a draw without agencies", seal: sealFileOf(LINES[0]!.replace(" 3 5001 ", " 0 0 ")) }
].map((one) => ({ ...one, fits: true }))

/** Two pieces and a rest, and a book of another agency. */
const ROWS = Sealed.rowsOf(4500)
const OTHER_ROWS = Sealed.rowsOf(3, 9000)
const BOOK = Sealed.bookOf(3, ROWS)
const OTHER_BOOK = Sealed.bookOf(5, OTHER_ROWS)
const { ROUND_TIME, rowOf } = Sealed
const NUMBER = ROUNDS[1].numbers.default
const HONEST = Sealed.signed(Sealed.sealOf([BOOK, OTHER_BOOK]), ROUND_TIME - 20)

const receiptOf = ({ agency, bets, sha256 }: SealedBook, more: Partial<Receipt> = {}): string => {
  const source = { _tag: "drand", at: { round: 1000 } } as const
  return signReceipt({ draw: "default", agency, bets, sha256, source, ...more }, operatorKey)
}

const NO_WINNERS = [3, 5].map((agency) => ({ agency, count: 0 }))
const resultOf = (more: Partial<DrawResult> = {}): string => {
  const beacon = { round: 1000, signature: SIGNATURE }
  const plain = { draw: "default", number: NUMBER, root: HONEST.root, beacon, winners: NO_WINNERS }
  return signResult({ ...plain, ...more }, operatorKey)
}

const RECEIPTS = [receiptOf(BOOK), receiptOf(OTHER_BOOK)]
const honest = {
  name: "an honest draw",
  fits: true,
  seal: HONEST.file,
  witness: true,
  beacons: [BEACON],
  results: [resultOf()],
  receipts: RECEIPTS,
  books: { 3: ROWS.join(""), 5: OTHER_ROWS.join("") }
} satisfies Case

const fraud = (name: string, more: Partial<Case>): Case => ({
  ...honest,
  fits: false,
  ...more,
  name
})
const book = (name: string, rows: ReadonlyArray<string>): Case =>
  fraud(`a book ${name}`, { books: { 3: rows.join("") } })
const numbered = ROWS.with(2600, rowOf(2600, NUMBER))
const winning = { number: NUMBER, root: HONEST.root }

const seals = (agencies: Parameters<typeof Sealed.sealOf>[0], ...more: ReadonlyArray<object>) =>
  Sealed.signed(Sealed.sealOf(agencies, Object.assign({}, ...more)), ROUND_TIME - 20)
const OTHER_SEAL = seals([Sealed.bookOf(3, numbered), OTHER_BOOK])
const ANNOUNCED = seals([BOOK, OTHER_BOOK], { source: { _tag: "announced" } })
const FIXED = seals([BOOK, OTHER_BOOK], { source: { _tag: "fixed", number: 17 } })
const said = (number: number, root = ANNOUNCED.root) =>
  resultOf({ root, number, beacon: undefined })
const MARKS = BOOK.marks.with(40, BOOK.marks[40]! ^ 1)

const frauds: ReadonlyArray<Case> = [
  honest,
  book("with a winner put in", ROWS.toSpliced(2500, 0, rowOf(77, NUMBER))),
  book("with a winner put in at the end", [...ROWS, rowOf(77, NUMBER)]),
  book("with a number changed", numbered),
  book("with a row replaced", ROWS.with(2600, rowOf(1_234_567, NUMBER))),
  book("with two rows exchanged", ROWS.with(0, ROWS[1]!).with(1, ROWS[0]!)),
  book("cut short", ROWS.slice(0, -1)),
  book("without its last LF", [ROWS.join("").slice(0, -1)]),
  book("that is empty", []),
  fraud("a winner taken out", {
    seal: OTHER_SEAL.file,
    receipts: [],
    results: [],
    books: { 3: numbered.toSpliced(2600, 1).join("") }
  }),
  fraud("a book of no agency", { books: { 9: "" } }),
  fraud("a book of an excluded agency", {
    seal: seals([BOOK, { agency: 4 }]).file,
    receipts: [],
    results: [],
    books: { 4: "" }
  }),
  fraud("a book left out", { seal: seals([OTHER_BOOK]).file, results: [], books: {} }),
  fraud("a book excluded", {
    seal: seals([{ agency: 3 }, OTHER_BOOK]).file,
    results: [],
    books: {}
  }),
  fraud("another book than the receipt's", { seal: OTHER_SEAL.file, results: [], books: {} }),
  fraud("a receipt of a discarded book too", {
    receipts: [...RECEIPTS, receiptOf(Sealed.bookOf(3, ROWS.slice(1)))],
    fits: true
  }),
  fraud("another round than the promised one", {
    receipts: [receiptOf(BOOK, { source: { _tag: "drand", at: { delaySeconds: 63 } } })]
  }),
  fraud("the promised delay", {
    receipts: [58, 59, 60].map((delaySeconds) =>
      receiptOf(BOOK, { source: { _tag: "drand", at: { delaySeconds } } })
    ),
    fits: true
  }),
  fraud("another source than the promised one", {
    receipts: [receiptOf(BOOK, { source: { _tag: "announced" } })]
  }),
  fraud("a receipt of another draw", { receipts: [receiptOf(BOOK, { draw: "other" })] }),
  fraud("two seals", { others: [OTHER_SEAL.file] }),
  fraud("two seals, one without its entries", { others: [`x\n\n${OTHER_SEAL.note}`] }),
  fraud("two seals, one known from a proof", {
    proofs: [
      proveEntry({
        tree: OTHER_SEAL.tree,
        index: 0,
        entry: OTHER_SEAL.entries[0]!,
        note: OTHER_SEAL.note
      })
    ]
  }),
  fraud("two seals, one known from a result", { results: [resultOf({ root: OTHER_SEAL.root })] }),
  fraud("a seal of another draw", { others: [vector("excluded.seal")] }),
  ...[-1, 0, 1, 600].map((late) =>
    fraud(`a witness that signed ${late} seconds late`, {
      seal: Sealed.signed(Sealed.sealOf([BOOK, OTHER_BOOK]), ROUND_TIME + late).file,
      fits: late < 0
    })
  ),
  fraud("false marks", {
    seal: seals([{ ...BOOK, marks: MARKS }, OTHER_BOOK]).file,
    results: []
  }),
  fraud("a false number of bets", {
    seal: seals([{ ...BOOK, bets: 4501 }, OTHER_BOOK]).file,
    results: [],
    receipts: []
  }),
  fraud("another number", { results: [resultOf({ number: 1234 })] }),
  fraud("another number, without a beacon", { beacons: [], results: [resultOf({ number: 1234 })] }),
  fraud("another round", {
    results: [
      resultOf({
        number: ROUNDS[2].numbers.default,
        beacon: { round: 1001, signature: ROUNDS[2].signature }
      })
    ]
  }),
  fraud("a result without the beacon", { results: [resultOf({ beacon: undefined })] }),
  fraud("two announced numbers", {
    seal: ANNOUNCED.file,
    receipts: [],
    beacons: [],
    results: [said(6286), said(6287)]
  }),
  fraud("the same number twice", {
    seal: ANNOUNCED.file,
    receipts: [],
    beacons: [],
    results: [said(9000), said(9000)],
    books: {},
    fits: true
  }),
  fraud("an announced number with a beacon", {
    seal: ANNOUNCED.file,
    receipts: [],
    beacons: [],
    results: [resultOf({ root: ANNOUNCED.root })]
  }),
  ...[17, 18].map((number) =>
    fraud(`${number} where 17 was fixed`, {
      seal: FIXED.file,
      receipts: [receiptOf(BOOK, { source: { _tag: "fixed", number: 17 } })],
      beacons: [],
      results: [said(number, FIXED.root)],
      books: {},
      fits: number === 17
    })
  ),
  ...[[], [3, 5, 6], [6], [3], [5]].map((agencies) =>
    fraud(`a result with winners of ${agencies.join(", ")} only`, {
      results: [
        resultOf({ ...winning, winners: agencies.map((agency) => ({ agency, count: 0 })) })
      ],
      fits: agencies.length === 1 && agencies[0] !== 6
    })
  ),
  fraud("another number of winners", {
    results: [resultOf({ ...winning, winners: NO_WINNERS.with(0, { agency: 3, count: 2 }) })]
  }),
  fraud("a result of another draw", { results: [vector("excluded.result")] })
]

/** Books that the operator sealed as they are, by whether their rows are canonical. */
const canonical: Readonly<Record<string, string>> = {
  "a comma": 'Ana,"Pérez, junior",1,1999-03-17,1\n',
  "a quote": '"Ana ""la Flaca""",Pérez,1,1999-03-17,1\n',
  "only a quote": '"""",",",1,1999-03-17,0\n',
  "equal rows": rowOf(1).repeat(2),
  "the greatest number": rowOf(1, 9999)
}
const notCanonical: Readonly<Record<string, string>> = {
  "quotes for nothing": '"Ana",Pérez,1,1999-03-17,1\n',
  "quotes around the number": 'Ana,Pérez,1,1999-03-17,"1"\n',
  "a quote without quotes": 'A"na,Pérez,1,1999-03-17,1\n',
  "a quote that is not doubled": '"A"na, x",Pérez,1,1999-03-17,1\n',
  "a quote that stays open": '"Ana, x,Pérez,1,1999-03-17,1\n',
  "text behind the quotes": '"Ana, x"y,Pérez,1,1999-03-17,1\n',
  "a line break in quotes": '"Ana,\nx",Pérez,1,1999-03-17,1\n',
  "a leading zero": "Ana,Pérez,1,1999-03-17,01\n",
  "no number": "Ana,Pérez,1,1999-03-17,\n",
  "a sign": "Ana,Pérez,1,1999-03-17,+1\n",
  "four fields": "Ana,Pérez,1,1999-03-17\n",
  "six fields": "Ana,Pérez,1,1999-03-17,1,1\n",
  CRLF: "Ana,Pérez,1,1999-03-17,1\r\n",
  "an empty row": `${rowOf(1)}\n`,
  "no LF at the end": rowOf(1).slice(0, -1),
  "a byte order mark": "\ufeff",
  semicolons: "Ana;Pérez;1;1999-03-17;1\n"
}
const rows = (books: Readonly<Record<string, string>>, fits: boolean): ReadonlyArray<Case> =>
  Object.entries(books).map(([name, content]) => {
    const bets = content.match(/\n/g)?.length ?? 1
    const sealed = { ...Sealed.bookOf(3, [content]), bets }
    return { name: `rows: ${name}`, fits, seal: seals([sealed]).file, books: { 3: content } }
  })

/** Bytes with a meaning in one of the formats, and some that must never be there. */
const SPECIAL = Buffer.from('\u0000\t\r\n "+,-./0123456789:=AFaf{}\u007f\u0080\u00ff', "latin1")

const spliced = (bytes: Uint8Array, at: number, removed: number, ...added: Array<number>): Buffer =>
  Buffer.concat([bytes.subarray(0, at), Buffer.from(added), bytes.subarray(at + removed)])

const mutatedByte = (dice: Dice, bytes: Buffer): Buffer => {
  const at = dice.below(bytes.length)
  const byte = bytes[at]!
  switch (dice.below(5)) {
    case 0:
      return spliced(bytes, at, 1, dice.pick([...SPECIAL]))
    case 1:
      return spliced(bytes, at, 0, dice.pick([...SPECIAL]))
    case 2:
      return spliced(bytes, at, 1)
    case 3:
      return spliced(bytes, at, 0, byte)
    default:
      return spliced(bytes, at, 1, byte ^ (1 << dice.below(8)))
  }
}

const NUMBERS = ["0", "1", "00", "01", "2", "6", "7", "999", "1001", "9999", "10000", "65536"]
const LARGE = ["2147483647", "2147483648", "9007199254740991", "9007199254740992", "1".repeat(17)]

/** Puts another number in the place of one, or changes whole lines. */
const mutatedText = (dice: Dice, text: string): string => {
  const lines = text.split(/(?<=\n)/)
  const at = dice.below(lines.length)
  switch (dice.below(6)) {
    case 0:
      return lines.toSpliced(at, 1).join("")
    case 1:
      return lines.toSpliced(dice.below(lines.length), 0, lines[at]!).join("")
    case 2:
      return lines.toSpliced(at, 1).toSpliced(dice.below(lines.length), 0, lines[at]!).join("")
    default: {
      const numbers = [...text.matchAll(/\d+/g)]
      const { 0: old, index } = dice.pick(numbers)
      const number = dice.pick([...NUMBERS, ...LARGE, `${BigInt(old) + 1n}`])
      return `${text.slice(0, index)}${number}${text.slice(index + old.length)}`
    }
  }
}

const TIMES = process.env.LOTTERY_TEST_LONG ? 10 : 1
const RESIGNED = 80 * TIMES
const MUTATED = 100 * TIMES

/** Mutations of a file as it is. */
const mutatedFiles = (
  dice: Dice,
  name: string,
  file: string | Uint8Array,
  given: (content: Buffer) => Omit<Case, "name">
): ReadonlyArray<Case> =>
  Array.from({ length: MUTATED }, (_, index) => ({
    ...given(mutatedByte(dice, Buffer.from(file))),
    name: `${name}, mutation ${index}`
  }))

/** Mutations of a text below a right signature. */
const mutatedTexts = (
  dice: Dice,
  name: string,
  text: string,
  given: (text: string) => Omit<Case, "name">
): ReadonlyArray<Case> =>
  Array.from({ length: RESIGNED }, (_, index) => {
    const isByte = dice.oneIn(2)
    const mutated = isByte
      ? mutatedByte(dice, Buffer.from(text)).toString()
      : mutatedText(dice, text)
    return { ...given(mutated), name: `${name}, signed mutation ${index}` }
  })

const [OPERATOR = "", WITNESS = ""] = vector("keys").split("\n")
const EXCLUDED = vector("excluded.seal")
const EXCLUDED_ENTRIES = EXCLUDED.slice(0, EXCLUDED.indexOf("\n\n") + 1)
const PROOF_HEAD = PROOF.slice(0, PROOF.indexOf("\n\n") + 1)

const mutations = (dice: Dice): ReadonlyArray<Case> => [
  ...mutatedFiles(dice, "default.seal", SEAL, (seal) => ({ seal, witness: true })),
  ...mutatedFiles(dice, "excluded.seal", EXCLUDED, (seal) => ({ seal })),
  ...mutatedFiles(dice, "another seal", SEAL, (other) => ({ seal: SEAL, others: [other] })),
  ...mutatedFiles(dice, "another seal, with its witness", SEAL, (other) => ({
    seal: SEAL,
    witness: true,
    others: [other]
  })),
  ...mutatedFiles(dice, "default.result", RESULT, (file) => ({ seal: SEAL, results: [file] })),
  ...mutatedFiles(dice, "excluded.result", vector("excluded.result"), (file) => ({
    seal: EXCLUDED,
    results: [file]
  })),
  ...mutatedFiles(dice, "receipt-7", RECEIPT, (file) => ({ seal: SEAL, receipts: [file] })),
  ...mutatedFiles(dice, "receipt-7-later", vector("receipt-7-later"), (file) => ({
    seal: SEAL,
    receipts: [RECEIPT, file]
  })),
  ...mutatedFiles(dice, "agency-7.tlog-proof", PROOF, (file) => ({
    seal: SEAL,
    witness: true,
    proofs: [file]
  })),
  ...mutatedFiles(dice, "round-1000.json", BEACON, (file) => ({ seal: SEAL, beacons: [file] })),
  ...mutatedFiles(dice, "book-1", BOOKS[1], (file) => ({ seal: SEAL, books: { 1: file } })),
  ...mutatedFiles(dice, "book-7", BOOKS[7], (file) => ({ seal: SEAL, books: { 7: file } })),
  ...mutatedFiles(dice, "the operator's key", OPERATOR, (key) => ({
    seal: SEAL,
    keys: { operator: key.toString() }
  })),
  ...mutatedFiles(dice, "the witness's key", WITNESS, (key) => ({
    seal: SEAL,
    witness: true,
    keys: { witness: key.toString() }
  })),
  ...mutatedTexts(dice, "default.seal", ENTRIES, (entries) => ({ seal: sealFileOf(entries) })),
  ...mutatedTexts(dice, "excluded.seal", EXCLUDED_ENTRIES, (entries) => ({
    seal: sealFileOf(entries, "other")
  })),
  ...mutatedTexts(dice, "a checkpoint", CHECKPOINT, (text) => ({
    seal: `${ENTRIES}\n${signedText(text)}${cosign(text, 1_692_806_309)}`,
    witness: true
  })),
  ...mutatedTexts(dice, "a checkpoint of a proof", CHECKPOINT, (text) => ({
    seal: SEAL,
    proofs: [`${PROOF_HEAD}\n${signedText(text)}`]
  })),
  ...mutatedTexts(dice, "a checkpoint of another seal", CHECKPOINT, (text) => ({
    seal: SEAL,
    others: [`${ENTRIES}\n${signedText(text)}`]
  })),
  ...mutatedTexts(dice, "receipt-7", textOf(RECEIPT), (text) => ({
    seal: SEAL,
    receipts: [signedText(text)]
  })),
  ...mutatedTexts(dice, "receipt-7-later", textOf(vector("receipt-7-later")), (text) => ({
    seal: SEAL,
    receipts: [RECEIPT, signedText(text)]
  })),
  ...mutatedTexts(dice, "default.result", textOf(RESULT), (text) => ({
    seal: SEAL,
    results: [signedText(text)],
    books: { 1: BOOKS[1] }
  })),
  ...mutatedTexts(dice, "excluded.result", textOf(vector("excluded.result")), (text) => ({
    seal: EXCLUDED,
    results: [signedText(text)],
    books: { 1: BOOKS[1] }
  }))
]

describeUnless(missingPython, "two verifiers agree", () => {
  const agree = (cases: ReadonlyArray<Case>) =>
    Effect.gen(function* () {
      const verdicts = yield* verifyBoth(join(yield* temporaryFolder, "files"), cases)
      const different = verdicts.filter(
        ({ one, ours, theirs }) =>
          ours?.fits !== theirs?.fits || (one.fits !== undefined && one.fits !== ours?.fits)
      )
      const shown = different.map(
        ({ one: { fits, name }, ours, theirs }) =>
          `${name}: expected ${fits ?? "the same"}, got ${JSON.stringify({ ours, theirs })}`
      )
      expect(shown, `LOTTERY_TEST_SEED=${SEED}`).toEqual([])
      return verdicts
    }).pipe(Effect.scoped)

  it.live("on the vectors, and what else must be accepted", () =>
    agree([...vectors, ...accepted, ...rows(canonical, true)])
  )

  it.live("on everything that must be refused", () =>
    agree([...refused, ...rows(notCanonical, false)])
  )

  it.live("on every fraud", () => agree(frauds))

  it.live("on random mutations", () =>
    Effect.gen(function* () {
      const verdicts = yield* agree(mutations(new Dice(SEED)))
      const fitting = verdicts.filter(({ ours }) => ours?.fits)
      // Mutations that are refused alone would say little about what is accepted.
      expect(fitting.length).toBeGreaterThan(20)
    })
  )
})
