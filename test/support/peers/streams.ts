/** Streams in pieces of any lengths. */
import { Effect } from "effect"
import { type ByteReader, EndOfStream, make } from "../../../src/protocol/ByteReader.ts"

/** Splits bytes into pieces of these lengths, in a cycle; a length of 0 counts as 1. */
export const cut = (bytes: Uint8Array, lengths: ReadonlyArray<number>): Array<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  let at = 0
  for (let turn = 0; at < bytes.length; turn++) {
    const length =
      lengths.length === 0 ? bytes.length : Math.max(1, lengths[turn % lengths.length]!)
    pieces.push(bytes.slice(at, at + length))
    at += length
  }
  return pieces
}

/** Returns a reader that delivers one piece per pull and then ends. */
export const readerOf = (pieces: ReadonlyArray<Uint8Array>): ByteReader<never> => {
  let next = 0
  return make<never>(
    Effect.suspend(() => {
      const piece = pieces[next++]
      return piece === undefined
        ? Effect.fail(new EndOfStream({ pending: 0 }))
        : Effect.succeed([piece])
    })
  )
}
