/**
 * Goal: frames of bets that are taken together give what they give when they are read and decoded
 * one by one: the same bets at the same positions, the same messages around them and the same error
 * at the end.
 * Method: random frames, valid or not, as a stream in pieces of random lengths.
 */
import { it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { describe, expect } from "vitest"
import type { ByteReader } from "../../src/protocol/ByteReader.ts"
import { MAX_FRAME_BYTES } from "../../src/protocol/Limits.ts"
import * as Frames from "../../src/protocol/native/NativeFrames.ts"
import type { NativeRequest } from "../../src/protocol/native/NativeMessages.ts"
import { betsFrame, controlFrame } from "../support/peers/messages.ts"
import { cut, readerOf } from "../support/peers/streams.ts"

const runs = process.env.LOTTERY_TEST_LONG ? 20_000 : 1000

const ROWS = [
  "Ana,Perez,12345678,1999-03-17,7574\n",
  '"O""Hara, the 2nd",P,1,1999-03-17,0\n',
  "José,Núñez,30876370,2000-02-29,9999\n"
]

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

/** A frame of `rows` rows after the ones before it, unless `flaw` makes it another one. */
const Frame = Schema.Struct({ rows: upTo(4), flaw: upTo(20) })

const TOO_LONG = Buffer.from([0, 16, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0])
const TOO_SHORT = Buffer.from([0, 0, 0, 4, 2, 0, 0, 0])

const streamOf = (frames: ReadonlyArray<typeof Frame.Type>): Buffer => {
  let position = 0
  return Buffer.concat(
    frames.map(({ flaw, rows }) => {
      const text = ROWS.concat(ROWS).slice(0, rows).join("")
      const valid = betsFrame(position, rows, text)
      switch (flaw) {
        case 0:
          return controlFrame({ _tag: "Compare" })
        case 1:
          return betsFrame(position + 1, rows, text)
        case 2:
          return betsFrame(position, rows + 1, text)
        case 3:
          return betsFrame(position, rows, text.replace("1999-03-17", "1999-02-30"))
        case 4:
          return TOO_LONG
        case 5:
          return TOO_SHORT
        case 6:
          return valid.subarray(0, -1)
        case 7:
          return Buffer.from(valid).fill(3, 4, 5)
        default:
          position += rows
          return valid
      }
    })
  )
}

/** Joins bets that follow each other, because a cut of the stream also separates frames. */
const joined = (messages: ReadonlyArray<NativeRequest>) => {
  const all: Array<unknown> = []
  let last: { position: number; count: number; rows: string } | undefined
  for (const message of messages) {
    if (message._tag !== "Bets") {
      last = undefined
      all.push(message)
      continue
    }
    const { batch, position } = message
    const rows = Buffer.from(batch.bytes).toString()
    if (last?.position !== undefined && position === last.position + last.count) {
      last.count += batch.count
      last.rows += rows
    } else {
      last = { position, count: batch.count, rows }
      all.push(last)
    }
  }
  return all
}

const readAll = Effect.fnUntraced(function* (
  reader: ByteReader<never>,
  take: (reader: ByteReader<never>) => NativeRequest | undefined
) {
  const messages: Array<NativeRequest> = []
  for (;;) {
    const taken = take(reader)
    const next =
      taken === undefined
        ? yield* Effect.result(Frames.readNativeRequest(reader))
        : Result.succeed(taken)
    if (Result.isFailure(next)) return { messages: joined(messages), end: next.failure }
    messages.push(next.success)
    if (taken === undefined && reader.buffered().length === 0) {
      const filled = yield* Effect.result(reader.fill)
      if (Result.isFailure(filled)) return { messages: joined(messages), end: filled.failure }
    }
  }
})

describe("frames of bets that are taken together", () => {
  it.effect.prop(
    "are read like single frames",
    [Schema.Array(Frame), Schema.Array(upTo(200)), upTo(400)],
    ([frames, lengths, maxBytes]) =>
      Effect.gen(function* () {
        const stream = streamOf(frames)
        const pieces = () => readerOf(cut(new Uint8Array(stream), lengths))
        const single = yield* readAll(pieces(), () => undefined)
        const together = yield* readAll(pieces(), (reader) => Frames.takeBets(reader, maxBytes))
        expect(together).toEqual(single)
      }),
    { arbitrary: { runs } }
  )

  const taken = (maxBytes: number, ...frames: ReadonlyArray<Uint8Array>) =>
    Effect.gen(function* () {
      const reader = readerOf([new Uint8Array(Buffer.concat(frames))])
      yield* reader.fill
      const bets = Frames.takeBets(reader, maxBytes)
      return [bets && `${bets.position}: ${bets.batch.count}`, reader.buffered().length]
    })
  const frames = [0, 1, 2].map((position) => betsFrame(position, 1, ROWS[0]!))
  const { length } = frames[0]!
  const tooMany = Math.ceil(MAX_FRAME_BYTES / ROWS[0]!.length)
  const tooLong = betsFrame(1, tooMany, ROWS[0]!.repeat(tooMany))

  it.effect.each([
    ["all that have come", 3 * length, frames, ["0: 3", 0]],
    ["as many as the limit has room for", 3 * length - 1, frames, ["0: 2", length]],
    ["a larger one alone", length - 1, frames, ["0: 1", 2 * length]],
    ["those before a gap", 3 * length, [frames[0]!, frames[2]!], ["0: 1", length]],
    ["those before one that is too long", 2 ** 30, [frames[0]!, tooLong], ["0: 1", tooLong.length]],
    ["none of a frame that is not whole", 3 * length, [frames[0]!.subarray(1)], [undefined, 47]]
  ] as const)("are %s", ([_what, maxBytes, sent, expected]) =>
    Effect.gen(function* () {
      expect(yield* taken(maxBytes, ...sent)).toEqual(expected)
    })
  )
})
