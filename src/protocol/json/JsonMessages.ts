/**
 * Dialect 3, JSON messages (wire: "JSON messages"). Every function is pure: bytes in, data out.
 *
 *     message = length:u32  JSON          length counts the bytes of the JSON, which is ASCII
 *     client  = {"type_message": 1 | 2, "agency": "3", "payload": ["first,last,…", …]}
 *             | {"type_message": 3, "agency": "3", "payload": null}
 *     server  = {"type_message": 1, "payload": null} | {"type_message": 2, "payload": "doc,doc"}
 *             | {"type_message": 3, "payload": "why"}
 */
import { Effect, Result, Schema } from "effect"
import { Agency, fromDigits } from "../../domain/Agency.ts"
import { Document } from "../../domain/Bet.ts"
import { type BetBatch, BetBatchSchema } from "../../domain/BetBatch.ts"
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import { COMMA, LF } from "../../domain/BetRow.ts"
import type { ByteReader } from "../ByteReader.ts"
import { BadMessage, bytesCodec, decoder, encoder } from "../BytesCodec.ts"
import { LARGE_JSON_BYTES, MAX_JSON_BYTES } from "../Limits.ts"
import { decodePlainRows, encodePlainRows } from "../PlainRows.ts"
import { firstList, readJsonBets, writeJsonRows } from "./JsonRows.ts"
import { scanJson } from "./JsonScan.ts"

const SEPARATORS = { field: COMMA, row: LF }
const utf8 = new TextEncoder()
const OBJECT_END = utf8.encode("}")
const EMPTY_LIST = utf8.encode("[]")

/** The bytes of a message before its JSON. */
const LENGTH_BYTES = 4

/** Some bets of an agency. */
export class Chunk extends Schema.TaggedClass<Chunk>("lottery/protocol/Chunk")("Chunk", {
  agency: Agency,
  batch: BetBatchSchema,
  /** No chunk follows (SEND_LAST_CHUNK). */
  last: Schema.Boolean
}) {}

/** An agency asks for its winners (CONSULT_AGENCY_WINNERS). */
export class ConsultWinners extends Schema.TaggedClass<ConsultWinners>(
  "lottery/protocol/ConsultWinners"
)("ConsultWinners", { agency: Agency }) {}

export const JsonRequest = Schema.Union([Chunk, ConsultWinners])
export type JsonRequest = typeof JsonRequest.Type

/** The bets of a chunk are stored (CHUNK_PROCESSED). */
export class ChunkProcessed extends Schema.TaggedClass<ChunkProcessed>(
  "lottery/protocol/ChunkProcessed"
)("ChunkProcessed", {}) {}

/** The documents of the agency's winning bets (INFORM_AGENCY_WINNERS). */
export class InformWinners extends Schema.TaggedClass<InformWinners>(
  "lottery/protocol/InformWinners"
)("InformWinners", { documents: Schema.Array(Document) }) {}

/** Nothing of a chunk is stored (CHUNK_REJECTED, which the old systems did not have). */
export class ChunkRejected extends Schema.TaggedClass<ChunkRejected>(
  "lottery/protocol/ChunkRejected"
)("ChunkRejected", {
  reason: Schema.String.check(Schema.makeFilter((s: string) => s.isWellFormed()))
}) {}

export const JsonReply = Schema.Union([ChunkProcessed, InformWinners, ChunkRejected])
export type JsonReply = typeof JsonReply.Type

/** The length of a message's JSON from its first four bytes, or why it is refused unread. */
const jsonLength = (header: Uint8Array): Result.Result<number, BadMessage> => {
  const length = new DataView(header.buffer, header.byteOffset).getUint32(0)
  return length <= MAX_JSON_BYTES
    ? Result.succeed(length)
    : Result.fail(
        new BadMessage({
          reason: `expected a message of at most ${MAX_JSON_BYTES} bytes, got ${length}`
        })
      )
}

const REQUEST_TYPES = ["SEND_CHUNK", "SEND_LAST_CHUNK", "CONSULT_AGENCY_WINNERS"] as const
const REPLY_TYPES = ["CHUNK_PROCESSED", "INFORM_AGENCY_WINNERS", "CHUNK_REJECTED"] as const

/** A `type_message`, which may be its number (from 1) or its name, as its name. */
const typeName = <Name extends string>(
  names: ReadonlyArray<Name>,
  value: unknown
): Name | undefined => names.find((name, index) => value === name || value === index + 1)

/** The outer shape of every message; the payload is looked at once the type is known. */
const Envelope = Schema.fromJsonString(
  Schema.Struct({
    type_message: Schema.Unknown,
    agency: Schema.optional(Schema.Unknown),
    payload: Schema.optional(Schema.Unknown)
  })
)
const decodeEnvelope = Schema.decodeResult(Envelope)

type ReadEnvelope = Result.Result<(typeof Envelope)["Type"], BadMessage>

/** The JSON of a whole message. */
const jsonOf = (bytes: Uint8Array): Result.Result<Uint8Array, BadMessage> => {
  if (bytes.length < LENGTH_BYTES) {
    return Result.fail(new BadMessage({ reason: `message cut off after ${bytes.length} bytes` }))
  }
  const length = jsonLength(bytes)
  if (Result.isFailure(length)) return Result.fail(length.failure)
  const json = bytes.subarray(LENGTH_BYTES)
  return length.success === json.length
    ? Result.succeed(json)
    : Result.fail(
        new BadMessage({ reason: `expected ${length.success} bytes of JSON, got ${json.length}` })
      )
}

const parseEnvelope = (json: Uint8Array): ReadEnvelope => {
  const text = decodeUtf8(json)
  if (text === undefined) return Result.fail(new BadMessage({ reason: "expected JSON in UTF-8" }))
  return Result.mapError(
    decodeEnvelope(text),
    () => new BadMessage({ reason: "expected a JSON object with type_message, agency and payload" })
  )
}

/** A whole message of this JSON, which is ASCII, so that characters and bytes count alike. */
const messageOf = (...parts: ReadonlyArray<Uint8Array>): Result.Result<Uint8Array, BadMessage> => {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  if (length > MAX_JSON_BYTES) {
    return Result.fail(
      new BadMessage({
        reason: `expected at most ${MAX_JSON_BYTES} bytes a message, got ${length}`
      })
    )
  }
  const header = new Uint8Array(LENGTH_BYTES)
  new DataView(header.buffer).setUint32(0, length)
  return Result.succeed(Buffer.concat([header, ...parts]))
}

const writeEnvelope = (envelope: object): Result.Result<Uint8Array, BadMessage> =>
  messageOf(
    utf8.encode(
      JSON.stringify(envelope).replace(
        /[\u007f-\uffff]/g,
        (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
      )
    )
  )

/** An agency as a string of digits or a number. */
const readAgency = (value: unknown): Result.Result<Agency, BadMessage> => {
  const agency =
    typeof value === "string" || typeof value === "number" ? fromDigits(String(value)) : undefined
  return agency === undefined
    ? Result.fail(new BadMessage({ reason: "expected an agency number" }))
    : Result.succeed(agency)
}

/** Parses what a client sent, unless that could cost far more than its bytes. */
const parseScanned = (json: Uint8Array): ReadEnvelope => {
  const problem = scanJson(json)
  if (problem === undefined) return parseEnvelope(json)
  const { count, index, membersEnd, reason } = problem
  // The members before the one that is refused were scanned: they may say whose the message is.
  const before = `${decodeUtf8(json.subarray(0, membersEnd)) ?? ""}}`
  const agency = Result.flatMap(decodeEnvelope(before), (envelope) => readAgency(envelope.agency))
  return Result.fail(
    new BadMessage({ reason, index, count, agency: Result.getOrUndefined(agency) })
  )
}

const readReply = (bytes: Uint8Array) => Result.flatMap(jsonOf(bytes), parseEnvelope)

const isStrings = (value: unknown): value is Array<string> =>
  Array.isArray(value) && value.every((item) => typeof item === "string")

const readBets = (payload: unknown) => {
  if (!isStrings(payload)) {
    return Result.fail(new BadMessage({ reason: "expected a list of bets, each a string" }))
  }
  // Joined with line ends the bets are checked as one run of bytes; a string that is empty or
  // brings a line end or a lone surrogate of its own would come out as other bets.
  const odd = payload.findIndex((bet) => bet === "" || bet.includes("\n") || !bet.isWellFormed())
  if (odd !== -1) {
    return Result.fail(
      new BadMessage({ reason: "expected first,last,document,birthdate,number", index: odd })
    )
  }
  return decodePlainRows(utf8.encode(payload.join("\n")), 0, SEPARATORS)
}

type DecodedRequest = Result.Result<(typeof JsonRequest)["Encoded"], BadMessage>
type DecodedReply = Result.Result<(typeof JsonReply)["Encoded"], BadMessage>

const chunkOf = (agency: Agency, type: string, batch: BetBatch) => ({
  _tag: "Chunk" as const,
  agency,
  batch,
  last: type === "SEND_LAST_CHUNK"
})

/**
 * A chunk whose list of bets is the only one in it, read where it lies, without a string per bet;
 * the rest of the message, with an empty list in its place, is parsed. Undefined where anything is
 * out of the ordinary, or wrong: that is for `decodeParsed` to say. Another bracket would be: where
 * there is none, a payload that is a list can only be this one.
 */
const decodeOrdinaryChunk = (json: Uint8Array): (typeof JsonRequest)["Encoded"] | undefined => {
  const start = firstList(json)
  const list = start === -1 ? undefined : readJsonBets(json, start)
  if (list === undefined || firstList(json, list.end) !== -1) return undefined
  const rest = Buffer.concat([json.subarray(0, start), EMPTY_LIST, json.subarray(list.end)])
  const envelope = Result.getOrUndefined(parseScanned(rest))
  if (!Array.isArray(envelope?.payload)) return undefined
  const type = typeName(REQUEST_TYPES, envelope.type_message)
  const agency = Result.getOrUndefined(readAgency(envelope.agency))
  if (type === undefined || type === "CONSULT_AGENCY_WINNERS" || agency === undefined) {
    return undefined
  }
  return chunkOf(agency, type, list.batch)
}

/** Decodes a client's JSON of whatever shape. */
const decodeParsed = (json: Uint8Array): DecodedRequest =>
  Result.flatMap(parseScanned(json), (envelope) =>
    Result.flatMap(readAgency(envelope.agency), (agency): DecodedRequest => {
      const type = typeName(REQUEST_TYPES, envelope.type_message)
      if (type === undefined) {
        const reason = "expected type_message 1 to 3 or its name"
        return Result.fail(new BadMessage({ reason, agency }))
      }
      if (type === "CONSULT_AGENCY_WINNERS") {
        // A dialect that numbers its types otherwise would have its bets taken for a question.
        return (envelope.payload ?? null) === null
          ? Result.succeed({ _tag: "ConsultWinners" as const, agency })
          : Result.fail(new BadMessage({ reason: "expected a question without payload", agency }))
      }
      return Result.mapBoth(readBets(envelope.payload), {
        onSuccess: (batch) => chunkOf(agency, type, batch),
        onFailure: (bad) => {
          const count = Array.isArray(envelope.payload) ? envelope.payload.length : undefined
          return new BadMessage({ reason: bad.reason, index: bad.index, agency, count })
        }
      })
    })
  )

const decodeRequest = (bytes: Uint8Array): DecodedRequest =>
  Result.flatMap(jsonOf(bytes), (json) => {
    const chunk = decodeOrdinaryChunk(json)
    return chunk === undefined ? decodeParsed(json) : Result.succeed(chunk)
  })

const encodeRequest = (
  request: (typeof JsonRequest)["Encoded"]
): Result.Result<Uint8Array, BadMessage> => {
  const agency = String(request.agency)
  if (request._tag === "ConsultWinners") {
    return writeEnvelope({ type_message: 3, agency, payload: null })
  }
  return Result.flatMap(encodePlainRows(request.batch, SEPARATORS), (rows) => {
    const type = request.last ? 2 : 1
    const before = utf8.encode(`{"type_message":${type},"agency":"${agency}","payload":`)
    return messageOf(before, writeJsonRows(rows), OBJECT_END)
  })
}

/** A client's whole message, its length included. */
export const JsonRequestFromBytes = bytesCodec(JsonRequest, {
  decode: decodeRequest,
  encode: encodeRequest
})

const decodeReply = (bytes: Uint8Array): DecodedReply =>
  Result.flatMap(readReply(bytes), ({ payload, type_message }): DecodedReply => {
    switch (typeName(REPLY_TYPES, type_message)) {
      case "CHUNK_PROCESSED":
        return Result.succeed({ _tag: "ChunkProcessed" as const })
      case "CHUNK_REJECTED":
        return Result.succeed({ _tag: "ChunkRejected" as const, reason: String(payload) })
      case "INFORM_AGENCY_WINNERS": {
        if (isStrings(payload)) {
          return Result.succeed({ _tag: "InformWinners" as const, documents: payload })
        }
        if (typeof payload === "string") {
          const documents = payload === "" ? [] : payload.split(",")
          return Result.succeed({ _tag: "InformWinners" as const, documents })
        }
        return Result.fail(new BadMessage({ reason: "expected the winners' documents" }))
      }
      case undefined:
        return Result.fail(new BadMessage({ reason: "expected type_message 1 to 3 or its name" }))
    }
  })

const encodeReply = (
  reply: (typeof JsonReply)["Encoded"]
): Result.Result<Uint8Array, BadMessage> => {
  switch (reply._tag) {
    case "ChunkProcessed":
      return writeEnvelope({ type_message: 1, payload: null })
    case "InformWinners":
      return writeEnvelope({ type_message: 2, payload: reply.documents.join(",") })
    case "ChunkRejected":
      return writeEnvelope({ type_message: 3, payload: reply.reason })
  }
}

/** The server's whole message, its length included. */
export const JsonReplyFromBytes = bytesCodec(JsonReply, {
  decode: decodeReply,
  encode: encodeReply
})

/** Decodes a client's whole message. */
export const decodeJsonRequest = decoder(JsonRequestFromBytes)
const decodeWholeReply = decoder(JsonReplyFromBytes)

/** Encodes a client's message; fails where it is too large, or a name holds a comma. */
export const encodeJsonRequest = encoder(JsonRequestFromBytes)
/** Encodes a server's message; fails where it is too large. */
export const encodeJsonReply = encoder(JsonReplyFromBytes)

/** Whether bytes begin with a whole message that is not a large one. */
export const beginsWithJsonMessage = (bytes: Uint8Array): boolean => {
  if (bytes.length < LENGTH_BYTES) return false
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  return length <= LARGE_JSON_BYTES && bytes.length >= LENGTH_BYTES + length
}

/** Takes the next message whole, its length included; one that is too long is refused unread. */
export const takeJsonMessage = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  const length = yield* Effect.fromResult(jsonLength(yield* reader.peek(LENGTH_BYTES)))
  return yield* reader.take(LENGTH_BYTES + length)
})

/** Reads the next message of a client. */
export const readJsonRequest = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  return yield* Effect.fromResult(decodeJsonRequest(yield* takeJsonMessage(reader)))
})

/** Reads the next message of a server. */
export const readJsonReply = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  return yield* Effect.fromResult(decodeWholeReply(yield* takeJsonMessage(reader)))
})

/**
 * The most bytes of canonical rows that fit a message, whatever the rows: an accented letter of
 * two bytes takes six in JSON, and every row three around it.
 */
export const MAX_BATCH_BYTES = Math.floor(MAX_JSON_BYTES / 4)
