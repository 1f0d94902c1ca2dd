/**
 * The codec of dialect 2 (docs/wire.md, "Binary packets"). Every function is pure.
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
import {
  BadMessage,
  badMessage,
  bytesCodec,
  dataView,
  decoder,
  encoder,
  reading,
  type TakeMessage
} from "../BytesCodec.ts"
import { MAX_PACKET_BYTES, MIN_PACKET_BYTES } from "../Limits.ts"
import { decodePlainRows, encodePlainRows } from "../PlainRows.ts"

const SEPARATORS = { field: SEMICOLON, row: SEMICOLON }
const ascii = new TextDecoder("latin1")
const utf8 = new TextEncoder()

const SIZE_BYTES = 2
const CONTINUE_BYTES = 2

/** A client's packet of bets. */
export class BinaryPacket extends Schema.Class<BinaryPacket>("lottery/protocol/BinaryPacket")({
  agency: Agency,
  batch: BetBatchSchema,
  /** Whether no packet of bets follows (`continue` is 0). */
  last: Schema.Boolean
}) {}

const openPacket = (packet: Uint8Array) => {
  const content = packet.subarray(SIZE_BYTES, -CONTINUE_BYTES)
  const semicolon = content.indexOf(SEMICOLON)
  const digits = content.subarray(0, semicolon === -1 ? content.length : semicolon)
  const agency = fromDigits(ascii.decode(digits.subarray(0, 11)))
  if (agency === undefined) return badMessage("expected an agency number before the first ;")
  const more = dataView(packet).getUint16(packet.length - CONTINUE_BYTES)
  return Result.succeed({ agency, bets: content.subarray(digits.length + 1), more })
}

const decodePacket = (
  packet: Uint8Array
): Result.Result<(typeof BinaryPacket)["Encoded"], BadMessage> =>
  Result.flatMap(openPacket(packet), ({ agency, bets, more }) => {
    // A similar framing lacks this field: its last two bytes would be part of the last bet.
    if (more > 1) {
      const reason = `expected 0 or 1 in the last two bytes of a packet (continue), got ${more}`
      return badMessage(reason, { agency, count: countBets(bets) })
    }
    return Result.mapBoth(decodePlainRows(bets, SEPARATORS), {
      onSuccess: (batch) => ({ agency, batch, last: more === 0 }),
      onFailure: (bad) => new BadMessage({ ...bad, agency, count: countBets(bets) })
    })
  })

/** Estimates the number of bets in a packet from its separators, valid or not. */
const countBets = (bets: Uint8Array): number => {
  let fields = bets.length === 0 || bets.at(-1) === SEMICOLON ? 0 : 1
  for (const byte of bets) if (byte === SEMICOLON) fields++
  return Math.ceil(fields / FIELD_COUNT)
}

const encodePacket = ({ agency, batch, last }: (typeof BinaryPacket)["Encoded"]) => {
  const content = utf8.encode(`${agency};`)
  const before = SIZE_BYTES + content.length
  // No separator after the last bet, as in the course's original client: `continue` replaces it.
  const after = CONTINUE_BYTES - (batch.count === 0 ? 0 : 1)
  return Result.flatMap(encodePlainRows(batch, SEPARATORS, { before, after }), (packet) => {
    const size = packet.length - SIZE_BYTES
    if (size > MAX_PACKET_BYTES) {
      return badMessage(`expected a packet of at most ${MAX_PACKET_BYTES} bytes, got ${size}`)
    }
    dataView(packet).setUint16(0, size)
    packet.set(content, SIZE_BYTES)
    dataView(packet).setUint16(size, last ? 0 : 1)
    return Result.succeed(packet)
  })
}

/** A whole packet, including its size. */
export const BinaryPacketFromBytes = bytesCodec(BinaryPacket, {
  decode: decodePacket,
  encode: encodePacket
})

/** Decodes the request for winners after the last packet: no bets, any `continue`. */
const decodeQuestion = (packet: Uint8Array): Result.Result<Agency, BadMessage> =>
  Result.flatMap(openPacket(packet), ({ agency, bets }) =>
    bets.length === 0
      ? Result.succeed(agency)
      : badMessage("expected a request for winners after the last packet, got bets", {
          agency,
          count: countBets(bets)
        })
  )

// Without the codec's Schema: its checks of the result cannot fail, and take a seventh of the time
// of a packet of 8 kB.
/** Fails if the packet is too large, or a name has a separator. */
export const encodeBinaryPacket = encodePacket
export const decodeBinaryPacket = decodePacket

/** Returns the end of the packet that bytes begin with, if it is whole and not too small. */
export const packetEnd = (bytes: Uint8Array): number | undefined => {
  if (bytes.length < SIZE_BYTES) return undefined
  const size = dataView(bytes).getUint16(0)
  const end = SIZE_BYTES + size
  return size >= MIN_PACKET_BYTES && end <= bytes.length ? end : undefined
}

const takePacket: TakeMessage<BadMessage> = Effect.fnUntraced(function* (reader) {
  const size = dataView(yield* reader.peek(SIZE_BYTES)).getUint16(0)
  if (size < MIN_PACKET_BYTES) {
    const reason = `expected a packet of at least ${MIN_PACKET_BYTES} bytes, got ${size}`
    return yield* new BadMessage({ reason })
  }
  return yield* reader.take(SIZE_BYTES + size)
})

export const readBinaryPacket = reading(takePacket, decodePacket)
/** Reads the request for winners after the last packet; returns its agency. */
export const readBinaryQuestion = reading(takePacket, decodeQuestion)

/** Returns how many bytes of canonical rows always fit in a packet of `bytes`, size included. */
export const maxBatchBytes = (agency: Agency, bytes: number): number => {
  const withoutBets = SIZE_BYTES + `${agency};`.length + CONTINUE_BYTES
  // Rows in a packet are never longer than canonical ones, and the last has no separator.
  return Math.min(bytes, SIZE_BYTES + MAX_PACKET_BYTES) - withoutBets + 1
}

const ANSWER_BYTES = 2

/** The server's answer to a packet of bets: true if they are stored. */
export const BinaryAnswerFromBytes = bytesCodec(Schema.Boolean, {
  decode: (bytes) => {
    const value = bytes.length === ANSWER_BYTES ? dataView(bytes).getUint16(0) : undefined
    return value === 0 || value === 1
      ? Result.succeed(value === 1)
      : badMessage("expected a two-byte answer, 0 or 1")
  },
  encode: (isStored) => Result.succeed(Uint8Array.of(0, isStored ? 1 : 0))
})

export const encodeBinaryAnswer = encoder(BinaryAnswerFromBytes)

export const readBinaryAnswer = reading<boolean, never>(
  (reader) => reader.take(ANSWER_BYTES),
  decoder(BinaryAnswerFromBytes)
)

/** The documents of an agency's winning bets: at most 65,535 bytes, including separators. */
export const BinaryWinnersFromBytes = bytesCodec(Schema.Array(Document), {
  decode: (bytes) => {
    const text = ascii.decode(bytes.subarray(SIZE_BYTES))
    return Result.succeed(text === "" ? [] : text.split(";"))
  },
  encode: (documents) => {
    const text = utf8.encode(documents.join(";"))
    if (text.length > MAX_PACKET_BYTES) {
      const winners = `${documents.length} winners`
      return badMessage(`${winners} do not fit in a binary answer; use the JSON dialect`)
    }
    const bytes = new Uint8Array(SIZE_BYTES + text.length)
    dataView(bytes).setUint16(0, text.length)
    bytes.set(text, SIZE_BYTES)
    return Result.succeed(bytes)
  }
})

/** Fails if the winners do not fit in an answer. */
export const encodeBinaryWinners = encoder(BinaryWinnersFromBytes)

const takeWinners: TakeMessage<never> = Effect.fnUntraced(function* (reader) {
  const size = dataView(yield* reader.peek(SIZE_BYTES)).getUint16(0)
  return yield* reader.take(SIZE_BYTES + size)
})

export const readBinaryWinners = reading(takeWinners, decoder(BinaryWinnersFromBytes))
