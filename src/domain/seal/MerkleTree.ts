/** The Merkle tree of RFC 6962 over SHA-256, whose root a seal signs. */
import { hash } from "node:crypto"

/** A SHA-256 in binary. */
export type Hash = Uint8Array

const HASH_BYTES = 32
/** What precedes a leaf and a node, so that neither can pass for the other. */
const LEAF = "\0"
const NODE = 0x01

/** Hashes through a string: Node takes half as long to make one as to make a buffer. */
const sha256 = (data: Uint8Array | string): Hash =>
  Buffer.from(hash("sha256", data, "latin1"), "latin1")

/** The hash of a leaf: an entry of the seal with its LF. */
export const leafHash = (entry: Uint8Array | string): Hash =>
  sha256(typeof entry === "string" ? `${LEAF}${entry}` : Buffer.concat([Buffer.from(LEAF), entry]))

const nodeHash = (left: Hash, right: Hash): Hash => {
  const bytes = Buffer.allocUnsafe(1 + 2 * HASH_BYTES)
  bytes[0] = NODE
  bytes.set(left, 1)
  bytes.set(right, 1 + HASH_BYTES)
  return sha256(bytes)
}

/** Hashes in one array of bytes: an object for each would take several times the memory. */
class Hashes {
  private bytes: Buffer
  size = 0

  constructor(room: number) {
    this.bytes = Buffer.alloc(room * HASH_BYTES)
  }

  push(one: Hash): void {
    const at = this.size * HASH_BYTES
    if (at === this.bytes.length) {
      this.bytes = Buffer.concat([this.bytes], 2 * this.bytes.length)
    }
    this.bytes.set(one, at)
    this.size++
  }

  at(index: number): Hash {
    return this.bytes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)
  }
}

/** The level above: a hash without a right sibling goes up as it is. */
const levelAbove = (level: Hashes): Hashes => {
  const above = new Hashes(Math.ceil(level.size / 2))
  for (let index = 0; index + 1 < level.size; index += 2) {
    above.push(nodeHash(level.at(index), level.at(index + 1)))
  }
  if (level.size % 2 === 1) above.push(level.at(level.size - 1))
  return above
}

/** A tree over at least one leaf. Takes 64 bytes a leaf. */
export class MerkleTree {
  /** The leaves, each level above them, and the root alone. */
  private readonly levels: ReadonlyArray<Hashes>
  readonly size: number
  readonly root: Hash

  constructor(leaves: Iterable<Hash>) {
    let level = new Hashes(1)
    for (const leaf of leaves) level.push(leaf)
    this.size = level.size
    const levels = [level]
    while (level.size > 1) {
      level = levelAbove(level)
      levels.push(level)
    }
    this.levels = levels
    this.root = level.at(0)
  }

  /** The hashes from the leaf's sibling up to below the root (RFC 6962, 2.1.1). */
  proofOf(index: number): ReadonlyArray<Hash> {
    const hashes: Array<Hash> = []
    let at = index
    for (const level of this.levels) {
      const sibling = at % 2 === 0 ? at + 1 : at - 1
      if (sibling < level.size) hashes.push(level.at(sibling))
      at = Math.floor(at / 2)
    }
    return hashes
  }
}

/**
 * The root that a proof leads to; undefined if it has too many or too few hashes (RFC 9162,
 * 2.1.3.2).
 */
export const rootFromProof = ({
  hashes,
  index,
  leaf,
  size
}: {
  readonly leaf: Hash
  readonly index: number
  readonly size: number
  readonly hashes: ReadonlyArray<Hash>
}): Hash | undefined => {
  if (index < 0 || index >= size) return undefined
  let root = leaf
  let at = index
  // The last position of the level. Positions do not fit in 32 bits, so they are not shifted.
  let last = size - 1
  for (const hash of hashes) {
    if (last === 0) return undefined
    // Levels where the position has no sibling add no hash.
    while (at % 2 === 0 && at === last) {
      at /= 2
      last /= 2
    }
    root = at % 2 === 1 ? nodeHash(hash, root) : nodeHash(root, hash)
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 ? root : undefined
}
