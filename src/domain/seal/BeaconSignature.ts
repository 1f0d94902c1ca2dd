/**
 * Checks the BLS signature of a round of quicknet. Use `BeaconCheck.ts`, which imports this module
 * only when there is a round to check: the curve's code is large.
 */
import { createHash } from "node:crypto"
import { bls12_381 } from "@noble/curves/bls12-381.js"
import { Result } from "effect"
import type { Beacon } from "./Quicknet.ts"

/** The key of quicknet: a compressed point of G2. */
const PUBLIC_KEY =
  "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c" +
  "8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb" +
  "5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"

/** The domain of the hash to the curve (RFC 9380); drand's is the one for keys in G2. */
const DOMAIN = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"

/** A compressed point of G1. */
const SIGNATURE = /^[0-9a-f]{96}$/

const { G1, G2 } = bls12_381
const { hash, verify } = bls12_381.shortSignatures

/** What quicknet signs: the SHA-256 of the round as a big-endian 64-bit integer. */
const messageOf = (round: number): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(round))
  return createHash("sha256").update(bytes).digest()
}

/** Whether the signature is quicknet's for this round. */
export const isSignedByQuicknet = ({ round, signature }: Beacon): boolean => {
  if (!SIGNATURE.test(signature) || !Number.isSafeInteger(round) || round < 1) return false
  // Throws unless it is a point of the right subgroup. The identity never verifies.
  const point = Result.try(() => G1.Point.fromHex(signature))
  return (
    Result.isSuccess(point) &&
    verify(point.success, hash(messageOf(round), DOMAIN), G2.Point.fromHex(PUBLIC_KEY))
  )
}
