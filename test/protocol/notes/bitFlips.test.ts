/**
 * Goal: no bit of a published file can change. Method: one bit of each byte is flipped, in a
 * long run each bit. What is still opened is the same file without the witness, whose line then
 * counts as that of an unknown key.
 */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { decodeUtf8 } from "../../../src/domain/BetCheck.ts"
import { isSignedByQuicknet } from "../../../src/domain/seal/BeaconSignature.ts"
import { parseBeacon } from "../../../src/protocol/notes/BeaconFile.ts"
import { openResult } from "../../../src/protocol/notes/DrawResult.ts"
import { openReceipt } from "../../../src/protocol/notes/Receipt.ts"
import { openSealFile } from "../../../src/protocol/notes/SealFile.ts"
import { openProof } from "../../../src/protocol/notes/TlogProof.ts"
import { operator, vectorBytes, witness } from "../../support/SealVectors.ts"

/** Seven flips a bit of every byte, and each of the eight places in turn. */
const STEP = process.env.LOTTERY_TEST_LONG ? 1 : 7

/** The bits of a file that can be flipped so that it is still accepted. */
const acceptedFlips = (bytes: Buffer, isAccepted: (text: string) => boolean) => {
  const accepted: Array<number> = []
  for (let bit = 0; bit < 8 * bytes.length; bit += STEP) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    const text = decodeUtf8(bytes)
    if (text !== undefined && isAccepted(text)) accepted.push(bit)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  return accepted
}

describe("no bit can be flipped", () => {
  it("in a seal", () => {
    const accepted = acceptedFlips(vectorBytes("default.seal"), (text) => {
      const opened = openSealFile(text, operator, [witness])
      return Result.isSuccess(opened) && opened.success.note.signatures.length === 2
    })
    expect(accepted).toEqual([])
  })

  it("in a seal except in the line of an unknown witness", () => {
    const bytes = vectorBytes("default.seal")
    const unknown = 8 * (bytes.lastIndexOf("\n—") + 1)
    const accepted = acceptedFlips(bytes, (text) => Result.isSuccess(openSealFile(text, operator)))
    expect(accepted.filter((bit) => bit < unknown)).toEqual([])
    expect(accepted).not.toEqual([])
  })

  it("in a proof except in the line of an unknown witness", () => {
    const bytes = vectorBytes("agency-7.tlog-proof")
    const unknown = 8 * (bytes.lastIndexOf("\n—") + 1)
    const accepted = acceptedFlips(bytes, (text) =>
      Result.isSuccess(openProof(text, "default", operator))
    )
    expect(accepted.filter((bit) => bit < unknown)).toEqual([])
  })

  it.each(["receipt-7", "receipt-7-later"])("in %s", (file) => {
    const isAccepted = (text: string) => Result.isSuccess(openReceipt(text, operator))
    expect(acceptedFlips(vectorBytes(file), isAccepted)).toEqual([])
  })

  it.each(["default.result", "excluded.result"])("in %s", (file) => {
    const isAccepted = (text: string) => Result.isSuccess(openResult(text, operator))
    expect(acceptedFlips(vectorBytes(file), isAccepted)).toEqual([])
  })

  it("in a beacon", () => {
    const accepted = acceptedFlips(vectorBytes("round-1000.json"), (text) => {
      const beacon = parseBeacon(text)
      return Result.isSuccess(beacon) && isSignedByQuicknet(beacon.success)
    })
    expect(accepted).toEqual([])
  })
})
