/**
 * Dialect 2, binary packets (wire: "Binary packets"). Every function is pure: bytes in, data out.
 *
 *     packet  = size:u16  content  continue:u16        size counts content and continue (1 or 0)
 *     content = AGENCY ";" [ bet *( ";" bet ) [ ";" ] ]     bet = five fields separated by ";"
 *     stored  = 1:u16        refused = 0:u16
 *     winners = size:u16  document *( ";" document )
 */
import { Effect, Result, Schema } from "effect"
import { Agency, fromDigits } from "../../domain/Agency.ts"
import { Document } from "../../domain/Bet.ts"
import { BetBatchSchema } from "../../domain/BetBatch.ts"
import { FIELD_COUNT, SEMICOLON } from "../../domain/BetRow.ts"
import type { ByteReader } from "../ByteReader.ts"
import { BadMessage, bytesCodec, decoder, encoder } from "../BytesCodec.ts"
import { MAX_PACKET_BYTES, MIN_PACKET_BYTES } from "../Limits.ts"
import { decodePlainRows, encodePlainRows } from "../PlainRows.ts"

const SEPARATORS = { field: SEMICOLON, row: SEMICOLON }
const ascii = new TextDecoder("latin1")
const utf8 = new TextEncoder()

/** The bytes of a packet before and after its content. */
const SIZE_BYTES = 2
const CONTINUE_BYTES = 2

/** A client's packet of bets. */
export class BinaryPacket extends Schema.Class<BinaryPacket>("lottery/protocol/BinaryPacket")({
  agency: Agency,
  batch: BetBatchSchema,
  /** No packet of bets follows (`continue` is 0). */
  last: Schema.Boolean
}) {}

const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The `size` of a packet from its first two bytes, or why it is refused before it is read. */
const packetSize = (header: Uint8Array): Result.Result<number, BadMessage> => {
  const size = view(header).getUint16(0)
  return size >= MIN_PACKET_BYTES
    ? Result.succeed(size)
    : Result.fail(
        new BadMessage({
          reason: `expected a packet of ${MIN_PACKET_BYTES} bytes or more, got ${size}`
        })
      )
}

/** What stands around the bets of a packet. */
interface Envelope {
  readonly content: Uint8Array
  readonly agency: Agency
  /** Where the bets begin in the content. */
  readonly betsStart: number
  /** The field `continue`. */
  readonly more: number
}

const openPacket = (bytes: Uint8Array): Result.Result<Envelope, BadMessage> => {
  if (bytes.length < SIZE_BYTES + MIN_PACKET_BYTES) {
    return Result.fail(new BadMessage({ reason: `packet cut off after ${bytes.length} bytes` }))
  }
  const size = view(bytes).getUint16(0)
  if (size !== bytes.length - SIZE_BYTES) {
    const got = bytes.length - SIZE_BYTES
    return Result.fail(
      new BadMessage({ reason: `expected ${size} bytes after the size, got ${got}` })
    )
  }
  const content = bytes.subarray(SIZE_BYTES, bytes.length - CONTINUE_BYTES)
  const semicolon = content.indexOf(SEMICOLON)
  const digits = content.subarray(0, semicolon === -1 ? content.length : semicolon)
  const agency = fromDigits(ascii.decode(digits.subarray(0, 11)))
  if (agency === undefined) {
    return Result.fail(new BadMessage({ reason: "expected an agency number before the first ;" }))
  }
  const more = view(bytes).getUint16(bytes.length - CONTINUE_BYTES)
  return Result.succeed({ content, agency, betsStart: digits.length + 1, more })
}

const decodePacket = (
  bytes: Uint8Array
): Result.Result<(typeof BinaryPacket)["Encoded"], BadMessage> =>
  Result.flatMap(openPacket(bytes), ({ agency, betsStart, content, more }) => {
    // A neighbouring framing has no such field: the end of its last number would stand here.
    if (more > 1) {
      const reason = `expected 0 or 1 in the last two bytes of a packet (continue), got ${more}`
      return Result.fail(new BadMessage({ reason, agency, count: countBets(content) }))
    }
    return Result.mapBoth(decodePlainRows(content, betsStart, SEPARATORS), {
      onSuccess: (batch) => ({ agency, batch, last: more === 0 }),
      onFailure: (bad) => new BadMessage({ ...bad, agency, count: countBets(content) })
    })
  })

/** How many bets the content of a packet seems to hold, good or bad. */
const countBets = (content: Uint8Array): number => {
  let fields = 0
  for (const byte of content) if (byte === SEMICOLON) fields++
  if (content.at(-1) === SEMICOLON) fields--
  return Math.ceil(fields / FIELD_COUNT)
}

const encodePacket = (
  packet: (typeof BinaryPacket)["Encoded"]
): Result.Result<Uint8Array, BadMessage> => {
  const rows = encodePlainRows(packet.batch, SEPARATORS)
  if (Result.isFailure(rows)) return Result.fail(rows.failure)
  // The last bet goes without its separator, as the seed wrote it.
  const bets = rows.success.subarray(0, Math.max(0, rows.success.length - 1))
  const agency = utf8.encode(`${packet.agency};`)
  const size = agency.length + bets.length + CONTINUE_BYTES
  if (size > MAX_PACKET_BYTES) {
    return Result.fail(
      new BadMessage({ reason: `expected at most ${MAX_PACKET_BYTES} bytes a packet, got ${size}` })
    )
  }
  const bytes = new Uint8Array(SIZE_BYTES + size)
  view(bytes).setUint16(0, size)
  bytes.set(agency, SIZE_BYTES)
  bytes.set(bets, SIZE_BYTES + agency.length)
  view(bytes).setUint16(SIZE_BYTES + size - CONTINUE_BYTES, packet.last ? 0 : 1)
  return Result.succeed(bytes)
}

/** A whole packet, its size included. */
export const BinaryPacketFromBytes = bytesCodec(BinaryPacket, {
  decode: decodePacket,
  encode: encodePacket
})

const decodeWhole = decoder(BinaryPacketFromBytes)

/** The question for the winners, after the last packet: without bets, with any `continue`. */
const decodeQuestion = (bytes: Uint8Array): Result.Result<Agency, BadMessage> =>
  Result.flatMap(openPacket(bytes), ({ agency, betsStart, content }) => {
    if (betsStart >= content.length) return Result.succeed(agency)
    const reason = "expected the question after the last packet, got bets"
    return Result.fail(new BadMessage({ reason, agency, count: countBets(content) }))
  })

/** Encodes a packet; fails where it is too large, or a name holds a separator. */
export const encodeBinaryPacket = encoder(BinaryPacketFromBytes)

/** Whether bytes begin with a whole packet, or what is read without waiting to be none. */
export const beginsWithPacket = (bytes: Uint8Array): boolean =>
  bytes.length >= SIZE_BYTES && bytes.length >= SIZE_BYTES + view(bytes).getUint16(0)

const takePacket = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  const size = yield* Effect.fromResult(packetSize(yield* reader.peek(SIZE_BYTES)))
  return yield* reader.take(SIZE_BYTES + size)
})

/** Reads the next packet of bets. */
export const readBinaryPacket = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  return yield* Effect.fromResult(decodeWhole(yield* takePacket(reader)))
})

/** Reads the question that follows the last packet; gives whose winners are asked for. */
export const readBinaryQuestion = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  return yield* Effect.fromResult(decodeQuestion(yield* takePacket(reader)))
})

/** The most bytes of canonical rows that fit a packet of `bytes` as a whole, whatever the rows. */
export const maxBatchBytes = (agency: Agency, bytes: number): number => {
  const withoutBets = SIZE_BYTES + `${agency};`.length + CONTINUE_BYTES
  // Rows in a packet are never longer than canonical ones, and the last goes without its end.
  return Math.min(bytes, SIZE_BYTES + MAX_PACKET_BYTES) - withoutBets + 1
}

/** The server's answer to a packet of bets. */
export class BinaryAnswer extends Schema.Class<BinaryAnswer>("lottery/protocol/BinaryAnswer")({
  stored: Schema.Boolean
}) {}

/** An answer: two bytes, 1 for stored, 0 for refused. */
export const BinaryAnswerFromBytes = bytesCodec(BinaryAnswer, {
  decode: (bytes) => {
    const value = bytes.length === 2 ? view(bytes).getUint16(0) : undefined
    return value === 0 || value === 1
      ? Result.succeed({ stored: value === 1 })
      : Result.fail(new BadMessage({ reason: "expected the answer 0 or 1 in two bytes" }))
  },
  encode: ({ stored }) => Result.succeed(Uint8Array.of(0, stored ? 1 : 0))
})

const decodeAnswer = decoder(BinaryAnswerFromBytes)
const ANSWER_BYTES = 2

/** Reads the answer to a packet of bets. */
export const readBinaryAnswer = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  return yield* Effect.fromResult(decodeAnswer(yield* reader.take(ANSWER_BYTES)))
})

/** The documents of the agency's winning bets. */
export class BinaryWinners extends Schema.Class<BinaryWinners>("lottery/protocol/BinaryWinners")({
  documents: Schema.Array(Document)
}) {}

/** The winners with their size; what does not fit in a u16 cannot be said in this dialect. */
export const BinaryWinnersFromBytes = bytesCodec(BinaryWinners, {
  decode: (bytes) => {
    if (bytes.length < SIZE_BYTES || view(bytes).getUint16(0) !== bytes.length - SIZE_BYTES) {
      return Result.fail(
        new BadMessage({ reason: "expected as many bytes of winners as the size says" })
      )
    }
    const text = ascii.decode(bytes.subarray(SIZE_BYTES))
    return Result.succeed({ documents: text === "" ? [] : text.split(";") })
  },
  encode: ({ documents }) => {
    const text = utf8.encode(documents.join(";"))
    if (text.length > MAX_PACKET_BYTES) {
      return Result.fail(
        new BadMessage({
          reason: `${documents.length} winners do not fit a binary answer; ask in the JSON dialect`
        })
      )
    }
    const bytes = new Uint8Array(SIZE_BYTES + text.length)
    view(bytes).setUint16(0, text.length)
    bytes.set(text, SIZE_BYTES)
    return Result.succeed(bytes)
  }
})

const decodeWinners = decoder(BinaryWinnersFromBytes)

/** Encodes the winners; fails where they are too many for the dialect. */
export const encodeBinaryWinners = encoder(BinaryWinnersFromBytes)

/** Reads the winners, which may be long in coming. */
export const readBinaryWinners = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  const size = view(yield* reader.peek(SIZE_BYTES)).getUint16(0)
  return yield* Effect.fromResult(decodeWinners(yield* reader.take(SIZE_BYTES + size)))
})
