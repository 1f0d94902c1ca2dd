/**
 * Measures the cost of each processing step in nanoseconds per bet, in this process. Each step is
 * compared with a loop that looks at every byte of the same rows once.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Result, Schema } from "effect"
import { BookParser } from "../../src/client/book/BookParser.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { batchFromRows } from "../../src/domain/CanonicalRows.ts"
import * as ByteReader from "../../src/protocol/ByteReader.ts"
import { reading as readerOf } from "../../src/protocol/BytesCodec.ts"
import * as Packets from "../../src/protocol/binary/BinaryPackets.ts"
import * as Json from "../../src/protocol/json/JsonMessages.ts"
import * as Frames from "../../src/protocol/native/NativeFrames.ts"
import * as Native from "../../src/protocol/native/NativeMessages.ts"
import { BetStore } from "../../src/server/store/BetStore.ts"
import * as CsvRow from "../../src/server/store/csv/CsvRow.ts"
import * as StoreUrl from "../../src/server/store/StoreUrl.ts"
import { temporaryFolder } from "../../test/support/TemporaryFolder.ts"
import { books, STORE_NAMES } from "../measure/Lottery.ts"
import { inTurns, medianOf } from "../measure/Turns.ts"
import type { Line } from "../report/PerformanceTable.ts"
import { shown } from "../report/PerformanceTable.ts"
import type { Measure } from "./Section.ts"

const BATCH = 1000
const PACKET_BETS = 180
/** A processor learns the branches of a short book: it is a quarter faster than with a real one. */
const LONG_BOOK_BETS = 200_000
const AGENCY = 1
const FULL = { rounds: 9, millis: 200, bets: 500_000 }
const QUICK = { rounds: 3, millis: 50, bets: 50_000 }
/** Agencies that append concurrently and share syncs. */
const APPENDING = 16

/** Repeats a step for `millis` and returns its nanoseconds per bet. */
const nanoseconds = (bets: number, millis: number, step: () => unknown) =>
  Effect.sync(() => {
    const begin = performance.now()
    let times = 0
    let passed = 0
    // Reads the clock only every eighth time.
    while (passed < millis) {
      for (let some = 0; some < 8; some++) step()
      times += 8
      passed = performance.now() - begin
    }
    return (passed * 1e6) / (times * bets)
  })

const everyByte = (bytes: Uint8Array) => () => {
  let sum = 0
  for (let at = 0; at < bytes.length; at++) sum += bytes[at]!
  return sum
}

const unwrap = Result.getOrThrow

const readJsonRequest = readerOf(Json.takeJsonMessage, Json.decodeJsonRequest)

/** Reads a message as the server does, from a stream that repeats it. */
const reading = <A, E>(
  message: Uint8Array,
  read: (reader: ByteReader.ByteReader<never>) => Effect.Effect<A, E>
) => {
  const reader = ByteReader.make<never>(Effect.succeed([message]))
  return () => Effect.runSync(read(reader))
}

const today = "2026-01-01"
/** A file is read in pieces of this size. */
const PIECE_BYTES = 256 * 1024

const stepsOf = (longBook: Uint8Array, batch: BetBatch, small: BetBatch) => {
  const frame = new Native.Bets({ position: 0, batch })
  // A client's batches have room for the header in front of their rows.
  const sent = new Native.Bets({ position: 0, batch: BetBatch.fromBets(batch) })
  const frameBytes = unwrap(Frames.encodeNativeRequest(frame))
  const chunk = new Json.Chunk({ agency: AGENCY, batch, last: false })
  const chunkBytes = unwrap(Json.encodeJsonRequest(chunk))
  const packet = new Packets.BinaryPacket({ agency: AGENCY, batch: small, last: false })
  const packetBytes = unwrap(Packets.encodeBinaryPacket(packet))
  const parse = () => {
    const limits = { batchSize: BATCH, maxBatchBytes: 1024 * 1024 }
    const options = { ...limits, name: "book", skipBadLines: false, today }
    let bytes = 0
    const parser = new BookParser(options, (bets) => {
      bytes += bets.byteLength
      bets.clear()
    })
    for (let at = 0; at < longBook.length; at += PIECE_BYTES) {
      parser.push(longBook.subarray(at, at + PIECE_BYTES))
    }
    parser.finish()
    if (parser.failure !== undefined) throw parser.failure
    return bytes
  }
  const { byteLength: size, count, runs } = batch
  const rows = { agency: AGENCY, count, runs, size }
  const fileRows = new Uint8Array(CsvRow.sizeOf(rows))
  return [
    ["looking at every byte", BATCH, everyByte(batch.bytes)],
    ["a long book's lines", LONG_BOOK_BETS, parse],
    ["batch check", BATCH, () => unwrap(batchFromRows(batch.bytes, batch.count))],
    ["native frame, encode", BATCH, () => unwrap(Frames.encodeBets(sent))],
    ["native frame, decode", BATCH, reading(frameBytes, Frames.readNativeRequest)],
    ["JSON chunk, encode", BATCH, () => unwrap(Json.encodeJsonRequest(chunk))],
    ["JSON chunk, decode", BATCH, reading(chunkBytes, readJsonRequest)],
    ["binary packet, encode", small.count, () => unwrap(Packets.encodeBinaryPacket(packet))],
    ["binary packet, decode", small.count, reading(packetBytes, Packets.readBinaryPacket)],
    ["CSV rows", BATCH, () => CsvRow.writeRows(rows, fileRows, 0)]
  ] as const
}

/** Nanoseconds per bet of durable appends through the store's layer. */
const append = Effect.fnUntraced(
  function* (kind: "csv" | "sqlite", batch: BetBatch, bets: number) {
    const folder = yield* temporaryFolder
    const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(`${kind}:${folder}/bets`)
    const batches = Math.ceil(bets / batch.count / APPENDING)
    return yield* Effect.gen(function* () {
      const store = yield* BetStore
      const begin = performance.now()
      yield* Effect.forEach(
        Array.from({ length: APPENDING }, (_, index) => index + 1),
        Effect.fnUntraced(function* (agency) {
          for (let index = 0; index < batches; index++) {
            yield* store.append(agency, index * batch.count, batch)
          }
        }),
        { concurrency: "unbounded", discard: true }
      )
      return ((performance.now() - begin) * 1e6) / (APPENDING * batches * batch.count)
    }).pipe(Effect.provide(StoreUrl.layer(url, "default")))
  },
  Effect.scoped,
  Effect.orDie
)

export const codecs: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const { bets, millis, rounds } = isQuick ? QUICK : FULL
  const from = yield* books(folder, 1, BATCH)
  const book = readFileSync(join(from, "agency-1.csv"))
  const rows = Buffer.from(book.toString().replaceAll("\r\n", "\n"))
  const batch = new BetBatch(rows, BATCH)
  const small = unwrap(
    batchFromRows(rows.subarray(0, rows.length - batch.drop(PACKET_BETS).bytes.length), PACKET_BETS)
  )
  const longFrom = yield* books(folder, 1, LONG_BOOK_BETS)
  const steps = stepsOf(readFileSync(join(longFrom, "agency-1.csv")), batch, small)
  const warm = steps.map(([, count, step]) => nanoseconds(count, millis, step))
  yield* Effect.all(warm)
  const measures = Object.fromEntries([
    ...steps.map(([name, count, step]) => [name, nanoseconds(count, millis, step)] as const),
    ...(["csv", "sqlite"] as const).map(
      (kind) => [`append to ${STORE_NAMES[kind]}`, append(kind, batch, bets)] as const
    )
  ])
  const measured = yield* inTurns(roundsOf(rounds), measures)
  const base = steps[0]![0]
  const comparedWith = `${base}: ${shown(medianOf(measured, (round) => round[base]!))} ns per bet`
  const lines = Object.keys(measures).map((name): Line => {
    const what = name === base ? `${base} once` : name
    const nanos = `${shown(medianOf(measured, (round) => round[name]!))} ns per bet`
    if (name === base) return { what, measured: nanos }
    const ratio = medianOf(measured, (round) => round[name]! / round[base]!)
    return { what, measured: nanos, comparedWith, ratio }
  })
  return { title: "Steps, 1,000 bets at a time (180 in a binary packet)", lines }
})
