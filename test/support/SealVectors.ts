/**
 * The published vectors of the sealed draw, and the keys that sign them: the operator's has the
 * seed 00 01 … 1f, the witness's 20 21 … 3f.
 */
import { createPrivateKey, type KeyObject, sign } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Result } from "effect"
import { entriesOf, type Seal } from "../../src/domain/seal/Seal.ts"
import { showSealFile, signSeal, treeOf } from "../../src/protocol/notes/SealFile.ts"
import { parseKey, sealKeyFromPem, type VerifierKey } from "../../src/protocol/notes/SignedNote.ts"

const folder = join(import.meta.dirname, "..", "protocol", "notes", "vectors")

export const vectorBytes = (name: string): Buffer => readFileSync(join(folder, name))
export const vector = (name: string): string => vectorBytes(name).toString()

const [operatorText = "", witnessText = ""] = vector("keys").split("\n")
export const operator = Result.getOrThrow(parseKey(operatorText))
export const witness = Result.getOrThrow(parseKey(witnessText))

/** What precedes a seed in the DER of an Ed25519 private key (RFC 8410). */
const PRIVATE_DER = "302e020100300506032b657004220420"

/** The private key whose seed is 32 bytes that count up from `first`. */
const privateKey = (first: number): KeyObject =>
  createPrivateKey({
    key: Buffer.from([
      ...Buffer.from(PRIVATE_DER, "hex"),
      ...Array.from({ length: 32 }, (_, index) => first + index)
    ]),
    format: "der",
    type: "pkcs8"
  })

export const pemOf = (key: KeyObject): string =>
  key.export({ type: "pkcs8", format: "pem" }).toString()

export const operatorPem = pemOf(privateKey(0x00))
export const operatorKey = Result.getOrThrow(sealKeyFromPem("lottery.example", operatorPem))

const signatureLine = ({ id, name }: VerifierKey, signature: Uint8Array): string =>
  `— ${name} ${Buffer.concat([Buffer.from(id, "hex"), signature]).toString("base64")}\n`

/** The witness's signature line of a checkpoint. */
export const cosign = (checkpoint: string, time: number): string => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(time))
  const message = `cosignature/v1\ntime ${time}\n${checkpoint}`
  const signature = sign(null, Buffer.from(message), privateKey(0x20))
  return signatureLine(witness, Buffer.concat([bytes, signature]))
}

/** The file of these entries, signed by the operator whatever they are. */
export const sealFileOf = (entries: string, draw = "default"): string =>
  showSealFile({ entries, note: signSeal({ draw, tree: treeOf(entries) }, operatorKey) })

export const sealFile = (seal: Seal): string => sealFileOf(entriesOf(seal).join(""), seal.draw)

/** The book of agency 7: 5000 bets, 158,335 bytes. */
export const book7 = Buffer.from(
  Array.from(
    { length: 5_000 },
    (_, index) => `Ana,Pérez,${index},1999-03-17,${(2 * index) % 10_000}\n`
  ).join("")
)

/** Rounds of quicknet, with the winning numbers of the draws `default` and `demo`. */
export const ROUNDS = [
  {
    round: 42,
    signature:
      "95a9f9f5b231b7714de1553105d8ffdf3dcda24cfdb1e689319bccf79a9c8ce4" +
      "30a91b811fbfaf763900bc998b5d686a",
    randomness: "8ada64bae5c6c0f5540a6a13af56e663240edfbd2c76ac6a8f27671eb7259ce3",
    numbers: { default: 7860, demo: 8400 }
  },
  {
    round: 1000,
    signature:
      "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125" +
      "e342b73a8dd2bacbe47e4b6b63ed5e39",
    randomness: "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",
    numbers: { default: 6286, demo: 6260 }
  },
  {
    round: 1001,
    signature:
      "b33bf3667cbd5a82de3a24b4e0e9fe5513cc1a0e840368c6e31f5fcfa79bea03" +
      "f73896b25883abf2853d10337fb8fa41",
    randomness: "b0a591ad1b9002cfc372ac6e30abd3da8d3088d4caae026961743474fb94235f",
    numbers: { default: 7901, demo: 9720 }
  },
  {
    round: 1002,
    signature:
      "ab066f9c12dd6de1336fca0f925192fb0c72a771c3e4c82ede1fd362c1a770f9" +
      "eb05843c6308ce2530b53a99c0281a6e",
    randomness: "339d3f0e702ed27d36966c6ee85a2bc762a24e178e7e5c835d9b5a7509cb920c",
    numbers: { default: 4641, demo: 5617 }
  },
  {
    round: 657413,
    signature:
      "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be" +
      "41076862b98fad56e91a6b85b89cd97b",
    randomness: "fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587",
    numbers: { default: 7685, demo: 5605 }
  }
] as const
