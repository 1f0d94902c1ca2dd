/**
 * Counts the bets of a book that repeat an earlier one. Each bet becomes a record of 12 bytes. The
 * records are divided by document and number into partitions, which are counted one at a time. A
 * partition's full chunks go to a file, so that memory stays bounded for a book of any length.
 */
import { BetBatchBuilder } from "../../domain/BetBatch.ts"
import { digitsValue } from "../../domain/BetCheck.ts"
import { COMMA, type FieldSpans } from "../../domain/BetRow.ts"

export interface Repeated {
  /** Bets whose five fields are equal to those of an earlier bet. */
  readonly rows: number
  /** Bets whose document and number are equal to those of an earlier bet; includes `rows`. */
  readonly documents: number
}

const PARTITIONS = 128
const RECORD_WORDS = 3
const CHUNK_WORDS = RECORD_WORDS * 8192
export const CHUNK_BYTES = 4 * CHUNK_WORDS

const NUMBERS = 10_000
const WORD = 2 ** 32

/** The number of documents that have fewer digits, by the number of digits. */
const SHORTER_DOCUMENTS = Array.from({ length: 11 }, (_, digits) => (10 ** digits - 10) / 9)

const mix = (low: number, high: number): number => {
  let mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

const HASH_START = 0x811c9dc5

/** Continues a hash (FNV-1a) with the bytes in `[start, end)` and a comma. */
const hashOf = (hash: number, bytes: Uint8Array, start: number, end: number): number => {
  let next = hash
  for (let at = start; at < end; at++) next = Math.imul(next ^ bytes[at]!, 0x01000193)
  return Math.imul(next ^ COMMA, 0x01000193)
}

/**
 * Takes the bets that a parser has checked, and keeps no rows. A record is the document and the
 * number, without loss, and a hash of the other fields. Two bets with the same document and number
 * but other fields are mistaken for equal rows once in four billion times.
 */
export class RepeatedBets extends BetBatchBuilder {
  /** Full chunks in order. The caller appends them to a file and calls `reuse`. */
  readonly full: Array<Uint32Array<ArrayBuffer>> = []
  private readonly free: Array<Uint32Array<ArrayBuffer>> = []
  /** The partition of each full chunk. */
  private readonly owners: Array<number> = []
  private readonly records = new Uint32Array(PARTITIONS * CHUNK_WORDS)
  private readonly ends = Uint32Array.from({ length: PARTITIONS }, (_, at) => at * CHUNK_WORDS)

  override add(source: Uint8Array, spans: FieldSpans): undefined {
    this.addOrdinary(source, spans)
  }

  override addOrdinary(source: Uint8Array, spans: FieldSpans): void {
    const document = spans[4]!
    const documentEnd = spans[5]!
    // A document keeps its leading zeros, so documents of different lengths differ.
    const index =
      digitsValue(source, document, documentEnd) + SHORTER_DOCUMENTS[documentEnd - document]!
    // 0 is no key.
    const key = index * NUMBERS + digitsValue(source, spans[8]!, spans[9]!) + 1
    const firstName = hashOf(HASH_START, source, spans[0]!, spans[1]!)
    const names = hashOf(firstName, source, spans[2]!, spans[3]!)
    const hash = hashOf(names, source, spans[6]!, spans[7]!)
    const high = Math.floor(key / WORD)
    this.put(key - high * WORD, high, hash >>> 0)
    this.count++
  }

  private put(low: number, high: number, hash: number): void {
    const { ends, records } = this
    const partition = mix(low, high) >>> 25
    let end = ends[partition]!
    records[end++] = low
    records[end++] = high
    records[end++] = hash
    const start = partition * CHUNK_WORDS
    if (end - start === CHUNK_WORDS) {
      const chunk = this.free.pop() ?? new Uint32Array(CHUNK_WORDS)
      chunk.set(records.subarray(start, end))
      this.full.push(chunk)
      this.owners.push(partition)
      end = start
    }
    ends[partition] = end
  }

  /** Takes the full chunks back: new ones for each would cost much garbage collection. */
  reuse(): void {
    this.free.push(...this.full.splice(0))
  }

  /** The partitions, which can be counted in any order. */
  *partitions(): Generator<Partition> {
    const chunks = new Map<number, Array<number>>()
    for (const [chunk, owner] of this.owners.entries()) {
      const of = chunks.get(owner)
      if (of === undefined) chunks.set(owner, [chunk])
      else of.push(chunk)
    }
    for (let index = 0; index < PARTITIONS; index++) {
      const rest = this.records.subarray(index * CHUNK_WORDS, this.ends[index])
      yield { chunks: chunks.get(index) ?? [], rest }
    }
  }
}

export interface Partition {
  /** The positions in the file of its full chunks. */
  readonly chunks: ReadonlyArray<number>
  /** The records that did not fill a chunk. */
  readonly rest: Uint32Array
}

const MIN_SLOTS = 1024

/** Records by key, or by key and hash, in a table with linear probing. */
class RecordSet {
  private words = new Uint32Array(RECORD_WORDS * MIN_SLOTS)
  private slots = MIN_SLOTS
  private count = 0
  private readonly byHash: boolean

  constructor(options: { readonly byHash: boolean }) {
    this.byHash = options.byHash
  }

  clear(): void {
    if (this.count > 0) this.words.fill(0)
    this.count = 0
  }

  /** Returns the hash of an equal record that was added before, or adds this one: -1. */
  add(low: number, high: number, hash: number): number {
    const { byHash, words } = this
    const last = this.slots - 1
    let slot = mix(low, byHash ? high ^ hash : high) & last
    for (; ; slot = (slot + 1) & last) {
      const at = slot * RECORD_WORDS
      const isKey = words[at] === low && words[at + 1] === high
      if (isKey && (!byHash || words[at + 2] === hash)) return words[at + 2]!
      // A key is never 0.
      if (words[at] === 0 && words[at + 1] === 0) {
        words[at] = low
        words[at + 1] = high
        words[at + 2] = hash
        this.count++
        if (2 * this.count > this.slots) this.grow()
        return -1
      }
    }
  }

  private grow(): void {
    const { words } = this
    this.slots *= 2
    this.words = new Uint32Array(RECORD_WORDS * this.slots)
    this.count = 0
    for (let at = 0; at < words.length; at += RECORD_WORDS) {
      const [low, high, hash] = [words[at]!, words[at + 1]!, words[at + 2]!]
      if (low !== 0 || high !== 0) this.add(low, high, hash)
    }
  }
}

/** Counts the repeated bets, one partition after the other. */
export class RepeatedCount implements Repeated {
  rows = 0
  documents = 0
  /** The first record of each document and number. */
  private readonly firsts = new RecordSet({ byHash: false })
  /** The further records of the same, which are few. */
  private readonly others = new RecordSet({ byHash: true })

  startPartition(): void {
    this.firsts.clear()
    this.others.clear()
  }

  take(records: Uint32Array): void {
    for (let at = 0; at < records.length; at += RECORD_WORDS) {
      const [low, high, hash] = [records[at]!, records[at + 1]!, records[at + 2]!]
      const first = this.firsts.add(low, high, hash)
      if (first === -1) continue
      this.documents++
      if (first === hash || this.others.add(low, high, hash) !== -1) this.rows++
    }
  }
}
