/**
 * Counts the bets of a book that repeat an earlier one. Each bet becomes a record of 8 bytes. The
 * records are divided by document and number into partitions, which are sorted one at a time. A
 * partition's full chunks go to a file, so that memory stays bounded for a book of any length.
 */
import { BetBatchBuilder } from "../../domain/BetBatch.ts"
import { digitsValue } from "../../domain/BetCheck.ts"
import { type FieldSpans, LF } from "../../domain/BetRow.ts"

/** A power of two. */
export const PARTITIONS = 128
/** A record is two words: the high bits of the document, then its low bits, number and hash. */
const CHUNK_WORDS = 2 * 8192
export const CHUNK_BYTES = 4 * CHUNK_WORDS

const HASH_BITS = 23

const makeChunk = () => new Uint32Array(CHUNK_WORDS)

/** The number of documents that have fewer digits, by the number of digits. */
const SHORTER_DOCUMENTS = Array.from({ length: 11 }, (_, digits) => (10 ** digits - 10) / 9)

const HASH_START = 0x811c9dc5

/** Continues a hash (FNV-1a) with the bytes in `[start, end)` and a byte that no field has. */
const hashOf = (hash: number, bytes: Uint8Array, start: number, end: number): number => {
  let next = hash
  for (let at = start; at < end; at++) next = Math.imul(next ^ bytes[at]!, 0x01000193)
  return Math.imul(next ^ LF, 0x01000193)
}

/**
 * Takes the bets that a parser has checked, and keeps no rows. A partition and a record are the
 * document and the number, without loss, and a hash of the other fields. Two bets with the same
 * document and number but other fields are mistaken for equal rows once in eight million times.
 */
export class RepeatedBets extends BetBatchBuilder {
  /** Full chunks in order. The caller moves them to a file. */
  readonly full: Array<Uint32Array<ArrayBuffer>> = []
  /** The partition of each full chunk. */
  private readonly owners: Array<number> = []
  private readonly chunks = Array.from({ length: PARTITIONS }, makeChunk)
  private readonly ends = new Uint32Array(PARTITIONS)

  override add(source: Uint8Array, spans: FieldSpans): undefined {
    this.addOrdinary(source, spans)
  }

  override addOrdinary(source: Uint8Array, spans: FieldSpans): void {
    const start = spans[4]!
    const end = spans[5]!
    // A document keeps its leading zeros, so documents of different lengths differ.
    const document = digitsValue(source, start, end) + SHORTER_DOCUMENTS[end - start]!
    const number = digitsValue(source, spans[8]!, spans[9]!)
    const firstName = hashOf(HASH_START, source, spans[0]!, spans[1]!)
    const names = hashOf(firstName, source, spans[2]!, spans[3]!)
    const hash = hashOf(names, source, spans[6]!, spans[7]!)
    this.put(document, number, hash)
    this.count++
  }

  private put(document: number, number: number, hash: number): void {
    // With the document, it gives the low bits of the number.
    const partition = (document + number) & (PARTITIONS - 1)
    const chunk = this.chunks[partition]!
    const end = this.ends[partition]!
    const rest = ((document & 3) << 7) | Math.floor(number / PARTITIONS)
    chunk[end] = (rest << HASH_BITS) | (hash >>> (32 - HASH_BITS))
    chunk[end + 1] = Math.floor(document / 4)
    this.ends[partition] = end + 2
    if (end + 2 < CHUNK_WORDS) return
    this.full.push(chunk)
    this.owners.push(partition)
    this.chunks[partition] = makeChunk()
    this.ends[partition] = 0
  }

  /** The positions in the file of a partition's full chunks, and its other records. */
  partition(index: number) {
    const full = this.owners.flatMap((owner, chunk) => (owner === index ? [chunk] : []))
    return { full, rest: this.chunks[index]!.subarray(0, this.ends[index]) }
  }
}

export class Repeated {
  /** Bets whose five fields are equal to those of an earlier bet. */
  rows = 0
  /** Bets whose document and number are equal to those of an earlier bet; includes `rows`. */
  documents = 0

  /** Counts the repeated bets among all records of a partition, and sorts them. */
  take(records: Uint32Array<ArrayBuffer>): void {
    new BigUint64Array(records.buffer).sort()
    for (let at = 2; at < records.length; at += 2) {
      const low = records[at]!
      const lowBefore = records[at - 2]!
      if (records[at + 1] !== records[at - 1]) continue
      if (low === lowBefore) this.rows++
      if (low >>> HASH_BITS === lowBefore >>> HASH_BITS) this.documents++
    }
  }
}
