/**
 * Mutates a session's messages. Deterministic: the same seed gives the same mutants. Half of the
 * mutations within a message also correct its length field, so that the mutant is not refused for
 * its length alone.
 */
import type { Dialect } from "../../src/protocol/Dialect.ts"
import { MAX_FRAME_BYTES, MAX_HELLO_BYTES, MAX_JSON_BYTES } from "../../src/protocol/Limits.ts"
import type { Session } from "./peers/Sessions.ts"

/** Random numbers from a 32-bit seed (splitmix32). */
export class Dice {
  private state: number

  constructor(seed: number) {
    this.state = seed | 0
  }

  private next(): number {
    this.state = (this.state + 0x9e3779b9) | 0
    let mixed = this.state ^ (this.state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }

  /** Returns an integer from 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound)
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0
  }

  pick<T>(items: ReadonlyArray<T>): T {
    return items[this.below(items.length)]!
  }
}

/** A message, possibly mutated. */
interface Part {
  readonly dialect: Dialect
  readonly bytes: Buffer
}
type Parts = ReadonlyArray<Part>

interface NumberField {
  readonly at: number
  readonly size: 2 | 4
}

const NATIVE_PREFACE_START = 0xff
const BETS = 2

/** Returns the binary number fields of a message; the first is its length. */
export const numbersIn = ({ bytes, dialect }: Part): ReadonlyArray<NumberField> => {
  const fields = ((): ReadonlyArray<NumberField> => {
    switch (dialect) {
      case "line":
        return []
      case "json":
        return [{ at: 0, size: 4 }]
      case "binary":
        return [
          { at: 0, size: 2 },
          { at: bytes.length - 2, size: 2 }
        ]
      case "native":
        if (bytes[0] === NATIVE_PREFACE_START) return []
        if (bytes[4] !== BETS) return [{ at: 0, size: 4 }]
        return [0, 5, 9].map((at) => ({ at, size: 4 }))
    }
  })()
  return fields.filter(({ at, size }) => at >= 0 && at + size <= bytes.length)
}

const write = (bytes: Buffer, { at, size }: NumberField, value: number): Buffer => {
  const written = Buffer.from(bytes)
  written.writeUIntBE(value % 2 ** (8 * size), at, size)
  return written
}

const correctLength = (part: Part): Part => {
  const length = numbersIn(part)[0]
  if (length === undefined) return part
  return { ...part, bytes: write(part.bytes, length, part.bytes.length - length.size) }
}

/** Values for two-byte numbers: edge cases, and lengths around the shortest packet. */
const SHORTS = [0, 1, 2, 3, 0x7fff, 0x8000, 0xffff]
const LIMITS = [MAX_HELLO_BYTES, MAX_FRAME_BYTES, MAX_JSON_BYTES]
/** Values for four-byte numbers: edge cases, each limit, and each limit plus one. */
const LONGS = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, ...LIMITS.flatMap((max) => [max, max + 1])]

/** Bytes with a meaning in at least one dialect. */
const SPECIAL = Buffer.from('\u0000\u0001\n\r\t ",;:0-9{}[]\\/\u007f')
const SPECIAL_HIGH = Buffer.from([0x80, 0xbf, 0xc2, 0xed, 0xf4, 0xff])
const WORDS = ["null", "-1", "1e9", "4294967296", "\\ud800", "__proto__", "\ufeff", "\u2028", '""']

const MAX_RUN_BYTES = 128 * 1024

/** Returns a run length, usually a short one. */
const runLength = (dice: Dice, max: number): number =>
  Math.min(max, 1 + dice.below(dice.pick([2, 8, 64, 1024])))

const splice = (bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)])

const randomBytes = (dice: Dice, length: number): Buffer =>
  Buffer.from(Array.from({ length }, () => dice.below(256)))

const changeOne = (dice: Dice, parts: Parts, change: (part: Part) => Buffer): Parts => {
  const index = dice.below(parts.length)
  const part = parts[index]
  if (part === undefined || part.bytes.length === 0) return parts
  const changed = { ...part, bytes: change(part) }
  return parts.with(index, dice.oneIn(2) ? correctLength(changed) : changed)
}

type Mutation = (dice: Dice, parts: Parts, other: Parts) => Parts

/** All mutations, by the names shown in failures. */
export const MUTATIONS = {
  "bits flipped": (dice, parts) =>
    changeOne(dice, parts, ({ bytes }) => {
      const flipped = Buffer.from(bytes)
      for (let flips = dice.pick([1, 1, 2, 8]); flips > 0; flips--) {
        const at = dice.below(flipped.length)
        flipped[at] = flipped[at]! ^ (1 << dice.below(8))
      }
      return flipped
    }),
  "a byte set": (dice, parts) =>
    changeOne(dice, parts, ({ bytes }) => {
      const value = dice.pick([...SPECIAL, ...SPECIAL_HIGH])
      return splice(bytes, dice.below(bytes.length), 1, Uint8Array.of(value))
    }),
  "cut off": (dice, parts) => {
    const index = dice.below(parts.length)
    const cut = parts[index]
    if (cut === undefined) return parts
    const bytes = cut.bytes.subarray(0, dice.below(cut.bytes.length))
    return [...parts.slice(0, index), { ...cut, bytes }]
  },
  beheaded: (dice, parts) => {
    const index = dice.below(parts.length)
    const cut = parts[index]
    if (cut === undefined) return parts
    const bytes = cut.bytes.subarray(dice.below(cut.bytes.length))
    return [{ ...cut, bytes }, ...parts.slice(index + 1)]
  },
  "spliced with another": (dice, parts, other) => {
    const index = dice.below(parts.length)
    const otherIndex = dice.below(other.length)
    const head = parts[index]
    const tail = other[otherIndex]
    if (head === undefined || tail === undefined) return parts
    const whole = dice.oneIn(2)
    const cut = whole ? head.bytes.length : dice.below(head.bytes.length)
    const from = whole ? 0 : dice.below(tail.bytes.length)
    return [
      ...parts.slice(0, index),
      { ...head, bytes: head.bytes.subarray(0, cut) },
      { ...tail, bytes: tail.bytes.subarray(from) },
      ...other.slice(otherIndex + 1)
    ]
  },
  "a run inserted": (dice, parts) =>
    changeOne(dice, parts, ({ bytes }) => {
      const run = dice.oneIn(2)
        ? randomBytes(dice, runLength(dice, MAX_RUN_BYTES))
        : Buffer.from(dice.pick(WORDS))
      return splice(bytes, dice.below(bytes.length + 1), 0, run)
    }),
  "a run deleted": (dice, parts) =>
    changeOne(dice, parts, ({ bytes }) => {
      const at = dice.below(bytes.length)
      return splice(bytes, at, runLength(dice, bytes.length - at), Buffer.alloc(0))
    }),
  "a run repeated": (dice, parts) =>
    changeOne(dice, parts, ({ bytes }) => {
      const at = dice.below(bytes.length)
      const run = bytes.subarray(at, at + runLength(dice, bytes.length - at))
      const max = Math.ceil(MAX_RUN_BYTES / run.length)
      const times = Math.min(max, dice.pick([1, 1, 1, 2, 3, 16, 100, max]))
      return splice(bytes, at, 0, Buffer.concat(Array.from({ length: times }, () => run)))
    }),
  "a message left out": (dice, parts) => parts.toSpliced(dice.below(parts.length), 1),
  "a message repeated": (dice, parts) => {
    const part = parts[dice.below(parts.length)]
    return part === undefined ? parts : parts.toSpliced(dice.below(parts.length + 1), 0, part)
  },
  "two messages swapped": (dice, parts) => {
    const one = dice.below(parts.length)
    const two = dice.below(parts.length)
    const [a, b] = [parts[one], parts[two]]
    return a === undefined || b === undefined ? parts : parts.with(one, b).with(two, a)
  },
  "a number set": (dice, parts) => {
    const index = dice.below(parts.length)
    const part = parts[index]
    const fields = part === undefined ? [] : numbersIn(part)
    if (part === undefined || fields.length === 0) return parts
    const field = dice.pick(fields)
    const now = part.bytes.readUIntBE(field.at, field.size)
    const near = [now + 1, Math.max(0, now - 1)]
    const value = dice.pick([...(field.size === 2 ? SHORTS : LONGS), ...near])
    return parts.with(index, { ...part, bytes: write(part.bytes, field, value) })
  }
} as const satisfies Readonly<Record<string, Mutation>>

type Name = keyof typeof MUTATIONS
const NAMES = Object.keys(MUTATIONS) as ReadonlyArray<Name>

export interface Mutant {
  readonly bytes: Buffer
  readonly how: ReadonlyArray<Name>
}

const partsOf = ({ dialect, messages }: Session): Parts =>
  messages.map((bytes) => ({ dialect, bytes }))

/** Mutates a session one to three times. A splice continues with messages of `other`. */
export const mutate = (dice: Dice, session: Session, other: Session): Mutant => {
  const how = Array.from({ length: dice.pick([1, 1, 2, 3]) }, () => dice.pick(NAMES))
  const parts = how.reduce<Parts>(
    (mutated, name) => MUTATIONS[name](dice, mutated, partsOf(other)),
    partsOf(session)
  )
  return { bytes: Buffer.concat(parts.map(({ bytes }) => bytes)), how }
}
