/**
 * Goal: notes are those of c2sp.org/signed-note, and one that is not exactly so is refused. Method:
 * notes that others published, and each rule broken once.
 */
import { createPrivateKey, generateKeyPairSync } from "node:crypto"
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import {
  isKeyName,
  open,
  openOperators,
  parseKey,
  sealKeyFromPem,
  showKey,
  sign,
  type VerifierKey
} from "../../../src/protocol/notes/SignedNote.ts"
import {
  cosign,
  operator,
  operatorKey,
  operatorPem,
  pemOf,
  vector,
  witness
} from "../../support/SealVectors.ts"

const keyOf = (vkey: string): VerifierKey => Result.getOrThrow(parseKey(vkey))

/** The example of c2sp.org/signed-note. */
const exampleKey = keyOf("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
const example = vector("example.note")

/** ExampleSign of golang.org/x/mod/sumdb/note. */
const peterKey = keyOf("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
const peterPrivateKey = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
const peter = vector("PeterNeumann.note")

/** The log of witnessed.checkpoint. */
const logKey = keyOf(
  "arche2025h1.staging.ct.transparency.dev+ba2f06c0" +
    "+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
)

describe("a note of others", () => {
  it.each([
    ["the specification", example, exampleKey],
    ["Go", peter, peterKey],
    ["a log", vector("witnessed.checkpoint"), logKey]
  ])("is opened: that of %s", (_, note, key) => {
    const text = note.slice(0, note.lastIndexOf("\n\n") + 1)
    expect(open(note, [key])).toEqual(Result.succeed({ text, signatures: [{ key }] }))
  })

  it("is opened with the time of a real witness", () => {
    const key = keyOf("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2")
    const { signatures } = Result.getOrThrow(open(vector("witnessed.checkpoint"), [key]))
    expect(signatures).toEqual([{ key, time: 1_779_573_024 }])
  })

  it("is signed with the same bytes", () => {
    const seed = Buffer.from(peterPrivateKey, "base64").subarray(1)
    const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed])
    const pem = pemOf(createPrivateKey({ key: der, format: "der", type: "pkcs8" }))
    const key = Result.getOrThrow(sealKeyFromPem("PeterNeumann", pem))
    expect(showKey(key.verifier)).toBe(showKey(peterKey))
    expect(sign(peter.slice(0, peter.indexOf("\n\n") + 1), key)).toBe(peter)
  })
})

describe("a verifier key", () => {
  const vkey = showKey(operator)
  const [, id, key] = vkey.split("+")

  it.each([
    ["another ID", vkey.replace("9b6c648b", "9b6c648c"), /^expected the ID 9b6c648b of this name/],
    ["an upper-case ID", vkey.replace("9b6c648b", "9B6C648B"), /^expected a verifier key NAME\+ID/],
    [
      "another name",
      vkey.replace("lottery", "lotterx"),
      /^expected the ID [0-9a-f]{8} of this name/
    ],
    [
      "another key",
      vkey.replace("AQOh", "AQOi"),
      /^expected the ID [0-9a-f]{8} of this name and key/
    ],
    ["no name", `+${id}+${key}`, /^expected a verifier key/],
    ["a space in the name", `a b+${id}+${key}`, /^expected a verifier key/],
    ["no key", `lottery.example+${id}+`, /^expected a verifier key/],
    ["a key that is no base64", vkey.replace("AQOh", "AQO!"), /^expected a verifier key/],
    ["a key of 31 bytes", vkey.slice(0, -4), /^expected a key of type 1 or 4 and 32 bytes/],
    ["another type", vkey.replace("AQOh", "AgOh"), /^expected a key of type 1 or 4 and 32 bytes/],
    ["an LF after it", `${vkey}\n`, /^expected a verifier key/],
    ["nothing", "", /^expected a verifier key/]
  ])("with %s is refused", (_, text, problem) => {
    expect(parseKey(text)).toMatchObject({ failure: expect.stringMatching(problem) })
  })

  it("may have a + in its base64", () => {
    const text = "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6"
    expect(showKey(keyOf(text))).toBe(text)
  })
})

describe("a private key", () => {
  const failure = (pem: string) =>
    Result.match(sealKeyFromPem("a", pem), {
      onFailure: (problem) => problem,
      onSuccess: () => undefined
    })

  it.each([
    ["no PEM", "hello"],
    ["a public key", publicPem()],
    ["encrypted", encryptedPem()]
  ])("that is %s is refused", (_, pem) => {
    expect(failure(pem)).toBe("expected an Ed25519 private key in PKCS#8 PEM, not encrypted")
  })

  it("of another kind is refused", () => {
    const { privateKey } = generateKeyPairSync("x25519")
    expect(failure(pemOf(privateKey))).toMatch(/, got x25519$/)
  })

  it.each(["", "a b", "a+b", "a\u00a0b", "a\n", "\ud800", "a\u0001b"])(
    "needs a name: %j",
    (name) => {
      expect(isKeyName(name)).toBe(false)
      expect(sealKeyFromPem(name, operatorPem)).toMatchObject({
        failure: expect.stringMatching(/^expected a key name/)
      })
    }
  )

  function publicPem(): string {
    const { publicKey } = generateKeyPairSync("ed25519")
    return publicKey.export({ type: "spki", format: "pem" }).toString()
  }

  function encryptedPem(): string {
    const { privateKey } = generateKeyPairSync("ed25519")
    const options = {
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x"
    } as const
    return privateKey.export(options).toString()
  }
})

describe("a note", () => {
  const text = "text\n"
  const note = sign(text, operatorKey)
  const line = note.slice(note.indexOf("—"))
  const checkpoint = "lottery.example/default\n6\nPYyu6aDHUKAXD+E6cGLkBMJ/2hkRqwRWl2pJlfCetIU=\n"
  const unknown = "— someone.else AAAAAAAA\n"
  const flipped = line.replace(/(?<=m2xki.{8})./, (c) => (c === "A" ? "B" : "A"))
  const both = [operator, witness]

  it("keeps an empty line of its text", () => {
    const note = sign("one\n\ntwo\n", operatorKey)
    expect(Result.getOrThrow(open(note, [operator])).text).toBe("one\n\ntwo\n")
  })

  it("may have lines of unknown keys anywhere", () => {
    const sameName = line.replace("m2xki", "AAAAi")
    const sameId = line.replace("lottery.example", "other")
    const opened = open(`${text}\n${unknown}${sameName}${line}${sameId}`, both)
    expect(Result.getOrThrow(opened).signatures).toEqual([{ key: operator }])
  })

  it.each([
    ["no signature", "text\n", "expected an empty line before the signatures"],
    ["an empty list of signatures", "text\n\n", /^expected LF after the last signature$/],
    ["no LF at the end", note.slice(0, -1), "expected LF after the last signature"],
    ["an empty line at the end", `${note}\n`, "expected LF after the last signature"],
    [
      "a line that is no signature",
      `${note}x\n`,
      /^expected a signature line — NAME BASE64, got "x"/
    ],
    ["CRLF", note.replaceAll("\n", "\r\n"), /^expected a note in UTF-8 with no control character/],
    ["a tab", sign("a\tb\n", operatorKey), /^expected a note in UTF-8 with no control character/],
    ["half a character", sign("\ud800\n", operatorKey), /^expected a note in UTF-8/],
    [
      "another text",
      note.replace("text", "Text"),
      /^expected a signature by lottery\.example of this/
    ],
    ["a hyphen for the dash", note.replace("—", "-"), /^expected a signature line/],
    ["two spaces", note.replace("— ", "—  "), /^expected a signature line/],
    ["base64 without padding", note.replace("=\n", "\n"), /^expected a signature line/],
    [
      "base64 of spare bits",
      note.replace(/.=\n$/, (end) => spare(end)),
      /^expected a signature line/
    ],
    ["a key ID only", `${text}\n— lottery.example m2xkiw==\n`, /^expected a signature line/],
    [
      "a short signature",
      `${text}\n${shortLine()}`,
      /^expected a signature by lottery\.example of th/
    ],
    [
      "only unknown keys",
      `${text}\n${unknown}`,
      /^expected a signature by lottery\.example\+9b6c648b, /
    ],
    [
      "a wrong one after a right one",
      `${note}${flipped}`,
      /^expected a signature by lottery\.example o/
    ],
    [
      "a wrong one before a right one",
      `${text}\n${flipped}${line}`,
      /^expected a signature by lottery/
    ],
    ["101 signatures", `${note}${unknown.repeat(100)}`, "expected at most 100 signatures"]
  ])("with %s is refused", (_, refused, problem) => {
    expect(refused).not.toBe(note)
    expect(open(refused, [operator])).toMatchObject({ failure: expect.stringMatching(problem) })
  })

  it("with 100 signatures is opened", () => {
    expect(Result.isSuccess(open(`${note}${unknown.repeat(99)}`, [operator]))).toBe(true)
  })

  it("must be signed by the operator, and rightly by each known witness", () => {
    const right = cosign(checkpoint, 5)
    const wrong = cosign(checkpoint, 6).replace("Fc++LAAAAAAAAAAG", "Fc++LAAAAAAAAAAH")
    const signed = sign(checkpoint, operatorKey)
    expect(Result.getOrThrow(openOperators(signed + right, operator, [witness]))).toEqual({
      text: checkpoint,
      signatures: [{ key: operator }, { key: witness, time: 5 }]
    })
    expect(Result.isSuccess(openOperators(signed + wrong, operator))).toBe(true)
    for (const [refused, problem] of [
      [signed + wrong, /^expected a cosignature by auditor\.example\/w1 of this text/],
      [
        `${checkpoint}\n${right}`,
        /^expected a signature by lottery\.example\+9b6c648b, got only those/
      ],
      [note + cosign(text, 5), /^auditor\.example\/w1 cosigned what is no checkpoint: /],
      [signed + cosign(checkpoint, 2 ** 53), /^expected a cosignature with a time up to 2\^53-1/]
    ] as const) {
      expect(openOperators(refused, operator, [witness])).toMatchObject({
        failure: expect.stringMatching(problem)
      })
    }
  })

  it("is not the operator's by a witness's key", () => {
    expect(openOperators(checkpoint + cosign(checkpoint, 5), witness)).toMatchObject({
      failure: "expected the operator's key to be of type 1, got cosignature"
    })
  })

  function spare(end: string): string {
    const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return `${digits[digits.indexOf(end[0]!) + 1]}=\n`
  }

  function shortLine(): string {
    const bytes = Buffer.from(line.slice("— lottery.example ".length), "base64")
    return `— lottery.example ${bytes.subarray(0, -1).toString("base64")}\n`
  }
})
