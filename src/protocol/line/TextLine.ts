/** The codec of dialect 1, one echoed line (docs/wire.md, "Text line"). Pure. */
import { Effect, Result, Schema } from "effect"
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import { CR, LF } from "../../domain/BetRow.ts"
import { type ByteReader, EndOfStream } from "../ByteReader.ts"
import { BadMessage, badMessage, bytesCodec, decoder, encoder } from "../BytesCodec.ts"
import { MAX_LINE_BYTES } from "../Limits.ts"

const FORBIDDEN = /[\u0000-\u0008\u000a-\u001f\u007f]/
const utf8 = new TextEncoder()

/** Whether a text has no line breaks and no control characters except tabs. */
export const isLineText = (text: string): boolean => text.isWellFormed() && !FORBIDDEN.test(text)

export const LineText = Schema.String.check(
  Schema.makeFilter(
    (text: string) => isLineText(text) || "expected a line of text without control characters"
  )
)

const tooLong = (length: number): string =>
  `expected a line of at most ${MAX_LINE_BYTES} bytes, got ${length}`

/** One line with LF or CR LF; the LF may be missing at the end of a stream. */
export const TextLineFromBytes = bytesCodec(LineText, {
  decode: (bytes) => {
    if (bytes.length > MAX_LINE_BYTES) return badMessage(tooLong(bytes.length))
    const end = bytes.at(-1) === LF ? bytes.length - 1 : bytes.length
    const text = decodeUtf8(bytes.subarray(0, end > 0 && bytes[end - 1] === CR ? end - 1 : end))
    return text === undefined ? badMessage("expected a line of valid UTF-8") : Result.succeed(text)
  },
  encode: (text) => {
    const bytes = utf8.encode(`${text}\n`)
    return bytes.length > MAX_LINE_BYTES ? badMessage(tooLong(bytes.length)) : Result.succeed(bytes)
  }
})

const decodeLine = decoder(TextLineFromBytes)

/** Fails if the line is too long. */
export const encodeTextLine = encoder(TextLineFromBytes)

/** Reads the next line. At the end of the stream the remaining bytes are a line. */
export const readTextLine = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  const take = (bytes: number) =>
    Effect.flatMap(reader.take(bytes), (line) => Effect.fromResult(decodeLine(line)))
  for (;;) {
    const buffered = reader.buffered()
    const lineEnd = buffered.indexOf(LF)
    if (lineEnd !== -1) return yield* take(lineEnd + 1)
    if (buffered.length >= MAX_LINE_BYTES) {
      return yield* new BadMessage({ reason: tooLong(buffered.length) })
    }
    const filled = yield* Effect.result(reader.fill)
    if (Result.isSuccess(filled)) continue
    const { failure } = filled
    if (failure instanceof EndOfStream && failure.pending > 0) return yield* take(failure.pending)
    return yield* Effect.fail(failure)
  }
})
