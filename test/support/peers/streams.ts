/** Streams that are cut in pieces, for readers that must not care how. */
import { Effect } from "effect"
import { type ByteReader, EndOfStream, make } from "../../../src/protocol/ByteReader.ts"

/** Cuts bytes after each of these lengths, again and again; a length of 0 counts as 1. */
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

/** A reader of these pieces, one a pull; after the last the stream ends. */
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
