/**
 * Goal: a client keeps what the operator of a sealed draw signed, never replaces a file, and holds
 * the operator to what earlier runs kept. Method: real files, and a scripted server on a socket.
 */
import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as EvidenceFiles from "../../../src/client/evidence/EvidenceFiles.ts"
import * as SealedClient from "../../support/peers/SealedClient.ts"
import * as Sealed from "../../support/peers/SealedServer.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const OWNER = { agency: Sealed.AGENCY, draw: Sealed.DRAW, operator: Sealed.KEY.verifier }

const open = (folder: string) =>
  Effect.provide(EvidenceFiles.open(folder, OWNER), NodeServices.layer)

/** Starts a client that keeps its evidence in a folder. */
const begin = (folder: string, startSeconds?: number) =>
  Effect.flatMap(open(folder), (evidence) => SealedClient.begin({ evidence }, startSeconds))

const filesIn = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => [name, readFileSync(join(folder, name), "utf8")])
  )

const SAID = Sealed.honestly(Sealed.AT_ROUND)
const EVIDENCE = {
  "agency-3.book.tlog-proof": SAID.seal?.[1],
  "agency-3.receipt": SAID.receipt,
  "agency-3.result": SAID.result,
  "agency-3.seal-head.tlog-proof": SAID.seal?.[0]
}

/** Runs a client to its end with an honest server. */
const keepAll = Effect.fnUntraced(function* (folder: string, startSeconds?: number) {
  const { accept, documents } = yield* begin(folder, startSeconds)
  yield* Sealed.serve(yield* accept, Sealed.ROWS, SAID)
  yield* documents
})

/** Runs a client after the round, whose book is finished. */
const comeLate = Effect.fnUntraced(function* (folder: string, said = SAID) {
  const client = yield* begin(folder, Sealed.AFTER_ROUND)
  const agency = yield* client.accept
  yield* Sealed.takeFinished(agency, Sealed.ROWS, said)
  yield* Sealed.takeQuestion(agency)
  yield* Sealed.showSeal(agency, said)
  yield* Sealed.tellWinners(agency, said)
  return client
})

describe("the evidence", () => {
  it.live("is kept as it arrives", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { accept, documents } = yield* begin(folder)
      const agency = yield* accept
      yield* Sealed.takeBook(agency, Sealed.ROWS, SAID)
      // It asks for its winners once the receipt is kept.
      yield* Sealed.takeQuestion(agency)
      expect(filesIn(folder)).toEqual({ "agency-3.receipt": SAID.receipt })
      yield* Sealed.showSeal(agency, SAID)
      yield* Sealed.tellWinners(agency, SAID)
      yield* documents
      expect(filesIn(folder)).toEqual(EVIDENCE)
    })
  )

  it.live("of an earlier run stays as it is", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* keepAll(folder)
      const { documents, seals } = yield* comeLate(folder)
      expect(yield* documents).toEqual(SAID.documents)
      expect(filesIn(folder)).toEqual(EVIDENCE)
      // The seal was kept before the round.
      expect(seals()).toEqual([expect.not.stringContaining("unproven")])
    })
  )

  it.live("that was kept after the round proves nothing later", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (let run = 1; run <= 2; run++) {
        const { documents, seals } = yield* comeLate(folder)
        yield* documents
        expect(seals(), `run ${run}`).toEqual([expect.stringContaining("unproven")])
      }
      const head = join(folder, "agency-3.seal-head.tlog-proof")
      utimesSync(head, Sealed.BEFORE_ROUND, Sealed.BEFORE_ROUND)
      const { documents, seals } = yield* comeLate(folder)
      yield* documents
      expect(seals()).toEqual([expect.not.stringContaining("unproven")])
    })
  )

  it.live("with another root proves a fraud, and both seals are kept", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* keepAll(folder)
      const books = [Sealed.sealedBook(Sealed.AGENCY, Sealed.ROWS)]
      const { proofs } = Sealed.signedSeal({ ...Sealed.AT_ROUND, books })
      const { fails } = yield* comeLate(folder, { ...SAID, seal: proofs })
      expect((yield* fails).message).toMatch(
        /^agency 3: broken promise: two seals of one draw, which prove a fraud: the root is \S{44},/
      )
      expect(filesIn(folder)).toEqual({
        ...EVIDENCE,
        "agency-3-2.book.tlog-proof": proofs[1],
        "agency-3-2.seal-head.tlog-proof": proofs[0]
      })
      // It stays a fraud, also with the first seal.
      const again = yield* comeLate(folder)
      expect((yield* again.fails)._tag).toBe("BrokenPromise")
    })
  )

  it.live("of another number proves a fraud", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [first, second] = [7, 28].map((announced) =>
        Sealed.honestly({ ...Sealed.ANNOUNCED, announced })
      )
      const { documents } = yield* comeLate(folder, first)
      yield* documents
      const { fails } = yield* comeLate(folder, second)
      expect((yield* fails).message).toBe(
        "agency 3: broken promise: two results of one draw, which prove a fraud: the number is " +
          "28, and was 7 before"
      )
      expect(filesIn(folder)).toMatchObject({
        "agency-3.result": first?.result,
        "agency-3-2.result": second?.result
      })
    })
  )

  it.live("has every receipt, and the seal must follow from each", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const discarded = Sealed.receiptOf(Sealed.AT_ROUND, { bets: 1, sha256: "0".repeat(64) })
      writeFileSync(join(folder, "agency-3.receipt"), discarded)
      yield* keepAll(folder)
      expect(filesIn(folder)).toEqual({
        ...EVIDENCE,
        "agency-3.receipt": discarded,
        "agency-3-2.receipt": SAID.receipt
      })
      const other = yield* temporaryFolder
      const announced = Sealed.receiptOf(Sealed.ANNOUNCED)
      writeFileSync(join(other, "agency-3.receipt"), announced)
      const { accept, fails } = yield* begin(other)
      const agency = yield* accept
      yield* Sealed.takeBook(agency, Sealed.ROWS, SAID)
      yield* Sealed.takeQuestion(agency)
      yield* Sealed.showSeal(agency, SAID)
      expect((yield* fails).message).toMatch(
        /: a receipt promised the number from announced; the seal takes it from drand\/\w+\/1000$/
      )
    })
  )

  it.live("of another draw, agency or key is refused before anything is sent", () =>
    Effect.gen(function* () {
      const sunday = Sealed.honestly({ ...Sealed.AT_ROUND, draw: "sunday" })
      const otherKey = { ...Sealed.AT_ROUND, key: Sealed.makeKey() }
      for (const [name, content] of [
        ["agency-3.receipt", sunday.receipt],
        ["agency-3.seal-head.tlog-proof", sunday.seal?.[0]],
        ["agency-3.result", sunday.result],
        ["agency-3.receipt", Sealed.receiptOf(Sealed.AT_ROUND, { agency: 4 })],
        ["agency-3.receipt", Sealed.receiptOf(otherKey)],
        ["agency-3.receipt", ""]
      ] as const) {
        const folder = yield* temporaryFolder
        writeFileSync(join(folder, name), content ?? "")
        const { _tag, message } = yield* Effect.flip(open(folder))
        expect(_tag).toBe("FileUnavailable")
        expect(message).toMatch(
          /: not evidence of agency 3 in the draw default \(.*\); use a folder for each draw$/
        )
        expect(message).toContain(join(folder, name))
      }
    })
  )

  it.live("that cannot be written ends the client", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const evidence = yield* open(join(folder, "missing"))
      const { accept, fails } = yield* SealedClient.begin({ evidence })
      yield* Sealed.takeBook(yield* accept, Sealed.ROWS, SAID)
      expect(yield* fails).toMatchObject({ _tag: "FileUnavailable" })
    })
  )
})
