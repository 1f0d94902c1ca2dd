/** Makes a key that seals draws, to try out the sealed draw. */
import { generateKeyPairSync } from "node:crypto"
import { Effect, Result } from "effect"
import { sealKeyFromPem, showKey } from "../../protocol/notes/SignedNote.ts"

/** Makes an Ed25519 key: the private key (PKCS#8, PEM) and the verifier key. */
export const make = (name: string) =>
  Effect.sync(() => {
    const { privateKey } = generateKeyPairSync("ed25519")
    const pem = String(privateKey.export({ type: "pkcs8", format: "pem" }))
    const key = Result.getOrThrow(sealKeyFromPem(name, pem))
    return { pem, vkey: showKey(key.verifier) }
  })
