/**
 * The codec of dialect 3 (docs/wire.md, "JSON messages"). Every function is pure.
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
import { LARGE_JSON_BYTES, MAX_JSON_BYTES } from "../Limits.ts"
import { decodePlainRows, encodePlainRows } from "../PlainRows.ts"
import { readOnlyList, writeStrings } from "./JsonRows.ts"
import { BET, scanJson } from "./JsonScan.ts"

const SEPARATORS = { field: COMMA, row: LF }
const utf8 = new TextEncoder()
const EMPTY_LIST = utf8.encode("[]")

const LENGTH_BYTES = 4

export class Chunk extends Schema.TaggedClass<Chunk>()("Chunk", {
  agency: Agency,
  batch: BetBatchSchema,
  /** Whether no chunk follows (SEND_LAST_CHUNK). */
  last: Schema.Boolean
}) {}

/** An agency asks for its winners (CONSULT_AGENCY_WINNERS). */
export class ConsultWinners extends Schema.TaggedClass<ConsultWinners>()("ConsultWinners", {
  agency: Agency
}) {}

export const JsonRequest = Schema.Union([Chunk, ConsultWinners])
export type JsonRequest = typeof JsonRequest.Type

/** The bets of a chunk are stored (CHUNK_PROCESSED). */
export class ChunkProcessed extends Schema.TaggedClass<ChunkProcessed>()("ChunkProcessed", {}) {}

/** The documents of the agency's winning bets (INFORM_AGENCY_WINNERS). */
export class InformWinners extends Schema.TaggedClass<InformWinners>()("InformWinners", {
  documents: Schema.Array(Document)
}) {}

/** Nothing of a chunk is stored (CHUNK_REJECTED, which the course's systems did not have). */
export class ChunkRejected extends Schema.TaggedClass<ChunkRejected>()("ChunkRejected", {
  reason: Schema.String.check(Schema.makeFilter((s: string) => s.isWellFormed()))
}) {}

export const JsonReply = Schema.Union([ChunkProcessed, InformWinners, ChunkRejected])
export type JsonReply = typeof JsonReply.Type

const REQUEST_TYPES = ["SEND_CHUNK", "SEND_LAST_CHUNK", "CONSULT_AGENCY_WINNERS"] as const
const REPLY_TYPES = ["CHUNK_PROCESSED", "INFORM_AGENCY_WINNERS", "CHUNK_REJECTED"] as const

/** Returns the name of a `type_message`, which is the name itself or its number, from 1. */
const typeName = <Name extends string>(
  names: ReadonlyArray<Name>,
  value: unknown
): Name | undefined => names.find((name, index) => value === name || value === index + 1)

const unknownType = (about?: { readonly agency: Agency }) =>
  badMessage("expected type_message 1 to 3 or its name", about)

/** Decodes any message; its type then decides how to read the payload. */
const decodeEnvelope = Schema.decodeResult(
  Schema.fromJsonString(
    Schema.Struct({
      type_message: Schema.Unknown,
      agency: Schema.optional(Schema.Unknown),
      payload: Schema.optional(Schema.Unknown)
    })
  )
)

const parseEnvelope = (json: Uint8Array) => {
  const text = decodeUtf8(json)
  if (text === undefined) return badMessage("expected JSON in UTF-8")
  const reason = "expected a JSON object with type_message, agency and payload"
  return Result.mapError(decodeEnvelope(text), () => new BadMessage({ reason }))
}

const readAgency = (value: unknown): Result.Result<Agency, BadMessage> => {
  const agency =
    typeof value === "string" || typeof value === "number" ? fromDigits(String(value)) : undefined
  return agency === undefined ? badMessage("expected an agency number") : Result.succeed(agency)
}

/** Parses a client's JSON if `scanJson` accepts it. */
const parseScanned = (json: Uint8Array) => {
  const problem = scanJson(json)
  if (problem === undefined) return parseEnvelope(json)
  const { membersEnd, reason, ...bet } = problem
  // The members before the refused one are within the limits, and may name the agency.
  const before = `${decodeUtf8(json.subarray(0, membersEnd)) ?? ""}}`
  const agency = Result.flatMap(decodeEnvelope(before), (envelope) => readAgency(envelope.agency))
  return badMessage(reason, { ...bet, agency: Result.getOrUndefined(agency) })
}

const isStrings = (value: unknown): value is Array<string> =>
  Array.isArray(value) && value.every((item) => typeof item === "string")

const readBets = (payload: unknown): Result.Result<BetBatch, BadMessage> => {
  if (!isStrings(payload)) return badMessage("expected a list of bets, each a string")
  // The bets are joined with LF and checked together. An empty string, an LF or a lone surrogate
  // within one would change the bets.
  const odd = payload.findIndex((bet) => bet === "" || bet.includes("\n") || !bet.isWellFormed())
  return odd === -1
    ? decodePlainRows(utf8.encode(payload.join("\n")), SEPARATORS)
    : badMessage(`expected ${BET}`, { index: odd })
}

type EncodedRequest = (typeof JsonRequest)["Encoded"]

/** Decodes a client's JSON. `read` replaces an empty payload with bets that were read before. */
const decodeJson = (json: Uint8Array, read?: BetBatch): Result.Result<EncodedRequest, BadMessage> =>
  Result.gen(function* () {
    const { payload, ...envelope } = yield* parseScanned(json)
    const agency = yield* readAgency(envelope.agency)
    const type = typeName(REQUEST_TYPES, envelope.type_message)
    if (type === undefined) return yield* unknownType({ agency })
    if (type === "CONSULT_AGENCY_WINNERS") {
      // A payload means that the client numbers its types differently and may be sending bets.
      if ((payload ?? null) === null) return { _tag: "ConsultWinners", agency }
      return yield* badMessage("expected no payload in a request for winners", { agency })
    }
    const count = Array.isArray(payload) ? payload.length : undefined
    const bets = read !== undefined && count === 0 ? Result.succeed(read) : readBets(payload)
    const batch = yield* Result.mapError(bets, (bad) => new BadMessage({ ...bad, agency, count }))
    return { _tag: "Chunk", agency, batch, last: type === "SEND_LAST_CHUNK" }
  })

/**
 * Reads the bets of an ordinary chunk in place and parses the rest of the message with an empty
 * list. If anything is unusual or wrong, the whole message is parsed.
 */
const decodeRequest = (message: Uint8Array): Result.Result<EncodedRequest, BadMessage> => {
  const json = message.subarray(LENGTH_BYTES)
  const list = readOnlyList(json)
  if (list !== undefined) {
    const { batch, end, start } = list
    const rest = Buffer.concat([json.subarray(0, start), EMPTY_LIST, json.subarray(end)])
    const chunk = decodeJson(rest, batch)
    // If the payload is a list, it is this one: the message has no other bracket.
    if (Result.isSuccess(chunk) && chunk.success._tag === "Chunk") return chunk
  }
  return decodeJson(json)
}

/** Sets the length of an otherwise complete message. */
const withLength = (message: Uint8Array): Result.Result<Uint8Array, BadMessage> => {
  const length = message.length - LENGTH_BYTES
  if (length > MAX_JSON_BYTES) {
    return badMessage(`expected a message of at most ${MAX_JSON_BYTES} bytes, got ${length}`)
  }
  dataView(message).setUint32(0, length)
  return Result.succeed(message)
}

const NO_LENGTH = "\0".repeat(LENGTH_BYTES)

/** Encodes a message as ASCII JSON, whose length is the same in characters and bytes. */
const writeEnvelope = (envelope: object): Result.Result<Uint8Array, BadMessage> => {
  const json = JSON.stringify(envelope).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
  return withLength(utf8.encode(NO_LENGTH + json))
}

type EncodedChunk = (typeof Chunk)["Encoded"]

const CHUNK_END = utf8.encode("]}")

const writeChunk = (chunk: EncodedChunk): Result.Result<Uint8Array, BadMessage> =>
  Result.flatMap(encodePlainRows(chunk.batch, SEPARATORS), (rows) => {
    const agency = String(chunk.agency)
    const empty = JSON.stringify({ type_message: chunk.last ? 2 : 1, agency, payload: [] })
    const before = utf8.encode(NO_LENGTH + empty.slice(0, -CHUNK_END.length))
    return withLength(writeStrings(before, rows, CHUNK_END))
  })

const encodeRequest = (request: EncodedRequest): Result.Result<Uint8Array, BadMessage> =>
  request._tag === "Chunk"
    ? writeChunk(request)
    : writeEnvelope({ type_message: 3, agency: String(request.agency), payload: null })

/** A client's whole message, including its length. */
export const JsonRequestFromBytes = bytesCodec(JsonRequest, {
  decode: decodeRequest,
  encode: encodeRequest
})

type EncodedReply = (typeof JsonReply)["Encoded"]

const readDocuments = (payload: unknown): Result.Result<ReadonlyArray<string>, BadMessage> => {
  if (isStrings(payload)) return Result.succeed(payload)
  if (typeof payload !== "string") return badMessage("expected the winners' documents")
  return Result.succeed(payload === "" ? [] : payload.split(","))
}

const decodeReply = (message: Uint8Array): Result.Result<EncodedReply, BadMessage> =>
  Result.gen(function* () {
    const { payload, type_message } = yield* parseEnvelope(message.subarray(LENGTH_BYTES))
    switch (typeName(REPLY_TYPES, type_message)) {
      case "CHUNK_PROCESSED":
        return { _tag: "ChunkProcessed" }
      case "CHUNK_REJECTED":
        return { _tag: "ChunkRejected", reason: String(payload) }
      case "INFORM_AGENCY_WINNERS":
        return { _tag: "InformWinners", documents: yield* readDocuments(payload) }
      case undefined:
        return yield* unknownType()
    }
  })

const encodeReply = (reply: EncodedReply): Result.Result<Uint8Array, BadMessage> => {
  switch (reply._tag) {
    case "ChunkProcessed":
      return writeEnvelope({ type_message: 1, payload: null })
    case "InformWinners":
      return writeEnvelope({ type_message: 2, payload: reply.documents.join(",") })
    case "ChunkRejected":
      return writeEnvelope({ type_message: 3, payload: reply.reason })
  }
}

/** The server's whole message, including its length. */
export const JsonReplyFromBytes = bytesCodec(JsonReply, {
  decode: decodeReply,
  encode: encodeReply
})

export const decodeJsonRequest = decoder(JsonRequestFromBytes)
/** Fails if the message is too large, or a name has a comma. */
export const encodeJsonRequest = encoder(JsonRequestFromBytes)
/** Fails if the message is too large. */
export const encodeJsonReply = encoder(JsonReplyFromBytes)

/** Returns the end of the whole message of at most `LARGE_JSON_BYTES` that bytes begin with. */
export const jsonMessageEnd = (bytes: Uint8Array): number | undefined => {
  if (bytes.length < LENGTH_BYTES) return undefined
  const length = dataView(bytes).getUint32(0)
  const end = LENGTH_BYTES + length
  return length <= LARGE_JSON_BYTES && end <= bytes.length ? end : undefined
}

/** Takes the next message, including its length, or refuses it from its length. */
export const takeJsonMessage: TakeMessage<BadMessage> = Effect.fnUntraced(function* (reader) {
  const length = dataView(yield* reader.peek(LENGTH_BYTES)).getUint32(0)
  if (length > MAX_JSON_BYTES) {
    const reason = `expected a message of at most ${MAX_JSON_BYTES} bytes, got ${length}`
    return yield* new BadMessage({ reason })
  }
  return yield* reader.take(LENGTH_BYTES + length)
})

export const readJsonReply = reading(takeJsonMessage, decoder(JsonReplyFromBytes))

/**
 * A batch of this many bytes of canonical rows always fits in a message: a two-byte letter takes
 * six bytes in JSON, and each row three more.
 */
export const MAX_BATCH_BYTES = Math.floor(MAX_JSON_BYTES / 4)
