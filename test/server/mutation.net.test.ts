/**
 * Goal: any bytes from a peer get a right answer or a refusal, and the connection ends. Method: for
 * a fixed time, many peers send mutants of the saved sessions in random pieces to a server process.
 * One server has held its draw, so every book is known and no peer may wait. The other never draws:
 * it stores mutants, which may wait at the barrier. The client's codecs read each answer, which
 * must match the bytes sent and the books stored at the end. Then the log, sockets and memory of
 * the process are checked.
 *
 * LOTTERY_MUTATION_SEED repeats the mutants of a run and LOTTERY_MUTATION_SECONDS sets its time.
 * The latter and LOTTERY_TEST_LONG also print the counts.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { setImmediate } from "node:timers/promises"
import { it } from "@effect/vitest"
import { Clock, Effect, Result, Schedule } from "effect"
import { describe, expect } from "vitest"
import { batchFromRows } from "../../src/domain/CanonicalRows.ts"
import { type ByteReader, EndOfStream } from "../../src/protocol/ByteReader.ts"
import { reading } from "../../src/protocol/BytesCodec.ts"
import {
  readBinaryAnswer,
  readBinaryPacket,
  readBinaryQuestion,
  readBinaryWinners
} from "../../src/protocol/binary/BinaryPackets.ts"
import { type Dialect, detect } from "../../src/protocol/Dialect.ts"
import * as Json from "../../src/protocol/json/JsonMessages.ts"
import { encodeTextLine, readTextLine } from "../../src/protocol/line/TextLine.ts"
import {
  readHello,
  readNativeReply,
  readNativeRequest
} from "../../src/protocol/native/NativeFrames.ts"
import {
  FINAL_CODES,
  type NativeReply,
  type NativeRequest
} from "../../src/protocol/native/NativeMessages.ts"
import { NATIVE_PREFACE } from "../../src/protocol/native/Preface.ts"
import { beginsWithHandshake, NO_TLS_HERE } from "../../src/protocol/TlsRecord.ts"
import { Dice, mutate } from "../support/Mutation.ts"
import { sha256Of } from "../support/peers/messages.ts"
import { bytesOf, forAgency, SESSIONS, type Session, UPLOADS } from "../support/peers/Sessions.ts"
import { readerOf } from "../support/peers/streams.ts"
import { runLottery } from "../support/processes/lotteryCommand.ts"
import { inFolder, STORES, startServer } from "../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const { LOTTERY_MUTATION_SECONDS, LOTTERY_MUTATION_SEED, LOTTERY_TEST_LONG } = process.env
/** The time for both servers together. */
const SECONDS = Number(LOTTERY_MUTATION_SECONDS ?? (LOTTERY_TEST_LONG ? 120 : 5))
const SEED = Number(LOTTERY_MUTATION_SEED ?? Math.floor(Math.random() * 2 ** 31))
const PRINTS = LOTTERY_MUTATION_SECONDS !== undefined || LOTTERY_TEST_LONG !== undefined
/** Includes time to start the servers, play the saved sessions and check the end. */
const TIMEOUT_MILLIS = SECONDS * 1000 + 60_000

const PARALLEL = 16
/** Time for a server to end a connection that its peer has half-closed. */
const PATIENCE_MILLIS = 15_000
/** Maximum growth in the second half of the time; the heap fills in the first half. */
const MEMORY_ALLOWANCE_KIB = 64 * 1024

/** A peer's messages as the server's codecs read them. */
interface Asked<Message> {
  readonly messages: ReadonlyArray<Message>
  /** The messages are followed by invalid bytes, not by an incomplete message. */
  readonly endsBadly: boolean
}

const readAll = <Message, E>(
  reader: ByteReader<never>,
  read: (reader: ByteReader<never>, before: ReadonlyArray<Message>) => Effect.Effect<Message, E>
): Asked<Message> => {
  const messages: Array<Message> = []
  for (;;) {
    const next = Effect.runSync(Effect.result(read(reader, messages)))
    if (Result.isFailure(next)) {
      return { messages, endsBadly: !(next.failure instanceof EndOfStream) }
    }
    messages.push(next.success)
  }
}

/** Reads all answers of a server; the last one must be complete. */
const readAnswers = <Answer, E>(
  heard: Buffer,
  read: (reader: ByteReader<never>, before: ReadonlyArray<Answer>) => Effect.Effect<Answer, E>
): ReadonlyArray<Answer> => {
  const reader = readerOf([heard])
  const { endsBadly, messages } = readAll(reader, read)
  ensure(!endsBadly && reader.buffered().length === 0, "an invalid answer")
  return messages
}

class Wrong extends Error {}

function ensure(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new Wrong(reason)
}

/** What the answers imply: the agency's book has these rows from `start` on. */
interface Claim {
  readonly agency: number
  readonly start: number
  readonly rows: ReadonlyArray<string>
  /** The book ends with these rows. */
  readonly whole: boolean
}

/** Answered in full, refused with a message, closed without a message, or at the barrier. */
const OUTCOMES = ["answered", "refused", "closed", "waits"] as const
type Outcome = (typeof OUTCOMES)[number]

interface Verdict {
  readonly outcome: Outcome
  readonly claim?: Claim
}

interface Known {
  readonly expects: (agency: number) => boolean
  /** An agency's book, for a server whose draw is held once these books are complete. */
  readonly book?: (agency: number) => ReadonlyArray<string>
  readonly isDrawn: boolean
}

const WINNING = ",7574"
const winnersIn = (rows: ReadonlyArray<string>): ReadonlyArray<string> =>
  rows.filter((row) => row.endsWith(WINNING)).map((row) => row.split(",").at(-3)!)

const rowsIn = (bytes: Uint8Array): ReadonlyArray<string> =>
  Buffer.from(bytes).toString().split("\n").slice(0, -1)

// Binary and JSON.

type BookRequest =
  | { readonly agency: number; readonly rows: ReadonlyArray<string>; readonly last: boolean }
  | { readonly agency: number; readonly rows: undefined }
type BookAnswer = "stored" | "refused" | ReadonlyArray<string>

const isWhole = (before: ReadonlyArray<BookRequest>): boolean =>
  before.some((request) => request.rows !== undefined && request.last)

const askedInBinary = (bytes: Buffer): Asked<BookRequest> =>
  readAll<BookRequest, unknown>(readerOf([bytes]), (reader, before) =>
    isWhole(before)
      ? Effect.map(readBinaryQuestion(reader), (agency) => ({ agency, rows: undefined }))
      : Effect.map(readBinaryPacket(reader), ({ agency, batch, last }) => ({
          agency,
          rows: rowsIn(batch.bytes),
          last
        }))
  )

const readJsonRequest = reading(Json.takeJsonMessage, Json.decodeJsonRequest)

const askedInJson = (bytes: Buffer): Asked<BookRequest> =>
  readAll<BookRequest, unknown>(readerOf([bytes]), (reader) =>
    Effect.map(readJsonRequest(reader), (request) =>
      request._tag === "Chunk"
        ? { agency: request.agency, rows: rowsIn(request.batch.bytes), last: request.last }
        : { agency: request.agency, rows: undefined }
    )
  )

const answersInBinary = (heard: Buffer, asked: ReadonlyArray<BookRequest>) =>
  readAnswers<BookAnswer, unknown>(
    heard,
    Effect.fnUntraced(function* (reader, before) {
      const request = asked[before.length]
      if (request !== undefined && request.rows === undefined) {
        return yield* readBinaryWinners(reader)
      }
      return (yield* readBinaryAnswer(reader)) ? "stored" : "refused"
    })
  )

const answersInJson = (heard: Buffer) =>
  readAnswers<BookAnswer, unknown>(heard, (reader) =>
    Effect.map(Json.readJsonReply(reader), (reply) => {
      if (reply._tag === "InformWinners") return reply.documents
      return reply._tag === "ChunkProcessed" ? "stored" : "refused"
    })
  )

const judgeBook = (
  { endsBadly, messages }: Asked<BookRequest>,
  answers: ReadonlyArray<BookAnswer>,
  known: Known,
  dialect: Dialect,
  isOpen: boolean
): Verdict => {
  const firstOther = answers.findIndex((answer) => answer !== "stored")
  const stored = firstOther === -1 ? answers.length : firstOther
  ensure(stored >= answers.length - 1, "a message after the final answer")
  const accepted = messages.slice(0, stored)
  ensure(accepted.length === stored, "more acknowledgements than batches")
  const rows: Array<string> = []
  const agency = messages[0]?.agency
  for (const [index, request] of accepted.entries()) {
    ensure(request.rows !== undefined, "a request for winners acknowledged as bets")
    ensure(!isWhole(accepted.slice(0, index)), "bets acknowledged after the last batch")
    ensure(request.agency === agency, "bets of another agency acknowledged")
    ensure(known.expects(request.agency), "bets of an unknown agency acknowledged")
    rows.push(...request.rows)
  }
  const whole = isWhole(accepted)
  const claim =
    agency === undefined || stored === 0 ? {} : { claim: { agency, start: 0, rows, whole } }
  const next = messages[stored]
  const mayAsk =
    next !== undefined &&
    next.rows === undefined &&
    next.agency === agency &&
    known.expects(next.agency) &&
    (whole || stored === 0)
  const last = answers[stored]
  if (last === "refused") return { outcome: "refused", ...claim }
  if (last === undefined) {
    if (isOpen) {
      ensure(mayAsk && !known.isDrawn, "stuck")
      return { outcome: "waits", ...claim }
    }
    // After the last packet the bytes of a refusal would mean that there are no winners.
    const hasRefusal = dialect === "json" || !whole
    ensure(!hasRefusal || (next === undefined && !endsBadly), "closed without an answer")
    return { outcome: stored > 0 && next === undefined ? "answered" : "closed", ...claim }
  }
  ensure(mayAsk, "winners sent without a valid request")
  ensure(known.book !== undefined, "winners sent before the draw")
  expect(last).toEqual(winnersIn(known.book(next.agency)))
  return { outcome: "answered", ...claim }
}

// The native dialect.

const askedNatively = (bytes: Buffer): Asked<NativeRequest> =>
  readAll<NativeRequest, unknown>(
    readerOf([bytes.subarray(NATIVE_PREFACE.length)]),
    (reader, before) => (before.length === 0 ? readHello(reader) : readNativeRequest(reader))
  )

/** Codes that a mutant alone can cause, on a server that works and does not stop. */
const POSSIBLE_CODES: ReadonlySet<string> = new Set([...FINAL_CODES, "Gap", "Conflict"])

const judgeNative = (
  { endsBadly, messages }: Asked<NativeRequest>,
  replies: ReadonlyArray<NativeReply>,
  known: Known,
  isOpen: boolean
): Verdict => {
  const [hello] = messages
  const [welcome] = replies
  const end = replies.at(-1)
  const question = messages.findIndex(({ _tag }) => _tag === "AwaitWinners")
  const taken = question === -1 ? messages : messages.slice(0, question)
  const isRefused = end?._tag === "Rejected"
  if (isRefused) ensure(POSSIBLE_CODES.has(end.code), `refused with ${end.code}`)
  ensure(
    replies.findIndex(({ _tag }) => _tag === "Rejected") >= (isRefused ? replies.length - 1 : -1),
    "a message after the refusal"
  )
  if (welcome === undefined || welcome._tag === "Rejected") {
    ensure(isRefused || !isOpen, "stuck")
    ensure(isRefused || (hello === undefined && !endsBadly), "closed without an answer")
    return { outcome: isRefused ? "refused" : "closed" }
  }
  ensure(welcome._tag === "Welcome" && hello?._tag === "Hello", "no Welcome to a Hello")
  const { agency } = hello
  ensure(known.expects(agency) && hello.draw === welcome.draw, "an unknown agency welcomed")
  const book = known.book?.(agency)
  if (book !== undefined && known.isDrawn) {
    const sha256 = sha256Of(book.map((row) => `${row}\n`).join(""))
    expect(welcome).toMatchObject({ bets: book.length, sha256, finished: true })
  }
  const compare = taken.findIndex(({ _tag }) => _tag === "Compare")
  const sent = taken
    .slice(compare + 1)
    .flatMap((request) => (request._tag === "Bets" ? rowsIn(request.batch.bytes) : []))
  const said = <Tag extends NativeReply["_tag"]>(tag: Tag) =>
    replies.filter((reply): reply is Extract<NativeReply, { _tag: Tag }> => reply._tag === tag)
  ensure(said("Welcome").length === 1, "welcomed twice")
  const finishes = taken.flatMap((request) => (request._tag === "Finish" ? [request.sha256] : []))
  const finished = said("Finished")
  for (const { sha256 } of finished) ensure(finishes.includes(sha256), "finished without Finish")
  const start = compare === -1 ? welcome.bets : 0
  const acknowledged = said("Ack").at(-1)?.bets ?? start
  // Acknowledgements before a Compare look the same as those of the comparison.
  const isClear = compare === -1 || taken.slice(0, compare).every(({ _tag }) => _tag !== "Bets")
  const rows = sent.slice(0, acknowledged - start)
  if (isClear) ensure(rows.length === acknowledged - start, "more acknowledged than was sent")
  // Another connection may have stored the end of the book.
  const whole = finished.at(-1)?.bets === start + rows.length && compare === -1
  const claim = isClear ? { claim: { agency, start, rows, whole } } : {}
  const waiting = said("Waiting").length > 0
  const winners = said("Winners")
  ensure(!waiting || question !== -1, "Waiting sent without a request")
  if (winners.length > 0) {
    ensure(waiting && end?._tag === "Winners" && !end.more, "winners that do not end")
    ensure(book !== undefined, "winners sent before the draw")
    expect(winners.flatMap(({ documents }) => documents)).toEqual(winnersIn(book))
    return { outcome: "answered", ...claim }
  }
  if (isRefused) return { outcome: "refused", ...claim }
  if (isOpen) {
    ensure(waiting && !known.isDrawn, "stuck")
    return { outcome: "waits", ...claim }
  }
  ensure(question === -1 && !endsBadly, "closed without an answer")
  return { outcome: "answered", ...claim }
}

const judgeLine = (bytes: Buffer, heard: Buffer): Verdict => {
  const echo = Effect.runSync(
    Effect.result(
      Effect.flatMap(readTextLine(readerOf([bytes])), (text) =>
        Effect.fromResult(encodeTextLine(text))
      )
    )
  )
  expect(heard.toString("hex")).toBe(
    Result.isSuccess(echo) ? Buffer.from(echo.success).toString("hex") : ""
  )
  return { outcome: heard.length > 0 ? "answered" : "closed" }
}

const dialectOf = (bytes: Buffer): Dialect | "unknown" => {
  const early = detect(bytes, false)
  const told = early === "undecided" ? detect(bytes, true) : early
  return told === "undecided" ? "unknown" : told
}

/** Throws unless the answer is right. With `isOpen` the server has not closed the connection. */
const judge = (bytes: Buffer, heard: Buffer, known: Known, isOpen: boolean): Verdict => {
  const dialect = dialectOf(bytes)
  switch (dialect) {
    case "binary": {
      const asked = askedInBinary(bytes)
      return judgeBook(asked, answersInBinary(heard, asked.messages), known, dialect, isOpen)
    }
    case "json":
      return judgeBook(askedInJson(bytes), answersInJson(heard), known, dialect, isOpen)
    case "native": {
      const replies = readAnswers<NativeReply, unknown>(heard, readNativeReply)
      return judgeNative(askedNatively(bytes), replies, known, isOpen)
    }
    case "line":
      ensure(!isOpen, "stuck")
      return judgeLine(bytes, heard)
    case "unknown":
      ensure(!isOpen, "stuck")
      // The start of a TLS handshake, a single byte included, is answered in plain text.
      expect(heard).toEqual(Buffer.from(beginsWithHandshake(bytes) ? NO_TLS_HERE : []))
      return { outcome: heard.length > 0 ? "refused" : "closed" }
  }
}

// Peers.

/** Sends the bytes in random pieces. */
const send = async (socket: Socket, dice: Dice, bytes: Buffer): Promise<void> => {
  const cuts = Array.from({ length: dice.below(6) }, () => dice.below(bytes.length + 1))
  const edges = [0, ...cuts.sort((one, other) => one - other), bytes.length]
  for (const [index, end] of edges.slice(1).entries()) {
    if (socket.destroyed || !socket.writable) return
    socket.write(bytes.subarray(edges[index], end))
    await setImmediate()
  }
}

interface Heard {
  readonly bytes: Buffer
  readonly isOpen: boolean
}

/** True if the bytes request winners, so that the peer may have to wait. */
const asksForWinners = (bytes: Buffer): boolean => {
  switch (dialectOf(bytes)) {
    case "binary":
      return askedInBinary(bytes).messages.some(({ rows }) => rows === undefined)
    case "json":
      return askedInJson(bytes).messages.some(({ rows }) => rows === undefined)
    case "native":
      return askedNatively(bytes).messages.some(({ _tag }) => _tag === "AwaitWinners")
    default:
      return false
  }
}

/** Time between checks whether a peer is right to wait. */
const LOOK_EVERY_MILLIS = 40
/** Checks before the peer half-closes. */
const LOOKS_BEFORE_FIN = 50

interface Playing {
  /** True if a peer with these answers is right to wait; its connection is then reset. */
  readonly waits: (heard: Buffer) => boolean
  /**
   * The peer may have to wait and does not half-close at once: a server notices the loss of a
   * half-closed peer only when it writes, which would be at the draw.
   */
  readonly mayWait: boolean
}

/** Sends the bytes and reads answers until the server closes. */
const play = (
  port: number,
  localAddress: string,
  dice: Dice,
  bytes: Buffer,
  { mayWait, waits }: Playing
) =>
  Effect.callback<Heard, Error>((resume) => {
    const socket = connect({ host: "127.0.0.1", port, localAddress, allowHalfOpen: true })
    socket.setNoDelay(true)
    const chunks: Array<Buffer> = []
    const heard = () => Buffer.concat(chunks)
    let looks = 0
    let looksLeft = 1 + dice.below(4)
    const looking = setInterval(() => {
      looks++
      if (looks === LOOKS_BEFORE_FIN) socket.end()
      if (waits(heard())) looksLeft--
      if (looksLeft > 0 && looks * LOOK_EVERY_MILLIS < PATIENCE_MILLIS) return
      resume(Effect.succeed({ bytes: heard(), isOpen: true }))
      socket.resetAndDestroy()
    }, LOOK_EVERY_MILLIS)
    socket.on("connect", async () => {
      await send(socket, dice, bytes)
      if (!mayWait) socket.end()
    })
    socket.on("end", () => socket.end())
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // The server may close before it has read everything; its answer has arrived by then.
      if (error.code === "EPIPE" || error.code === "ECONNRESET") return
      resume(Effect.fail(error))
    })
    socket.on("close", () => {
      clearInterval(looking)
      resume(Effect.succeed({ bytes: heard(), isOpen: false }))
    })
    return Effect.sync(() => {
      clearInterval(looking)
      socket.destroy()
    })
  })

const isRight = (check: () => unknown): boolean => {
  try {
    check()
    return true
  } catch {
    return false
  }
}

// The process.

const socketsOf = (pid: number): number => {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`).startsWith("socket:")
    } catch {
      return false
    }
  }).length
}

const residentKib = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1])

/** Waits until the server has no more sockets than when it started. */
const atRest = (pid: number, sockets: number) =>
  Effect.sync(() => socketsOf(pid) <= sockets).pipe(
    Effect.repeat({ until: (rests) => rests, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({
      duration: PATIENCE_MILLIS,
      orElse: () => Effect.die(new Error(`${socketsOf(pid) - sockets} connections are left`))
    })
  )

const LOG_LINE = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) +action: /

/** The log has only actions: no stack traces and no warnings of Node.js. */
const expectOnlyActions = (stderr: string) => {
  const strange = stderr.split("\n").filter((line) => line !== "" && !LOG_LINE.test(line))
  expect(strange.slice(0, 20)).toEqual([])
  expect(stderr).not.toMatch(/\n\s+at |internal error|unhandled|uncaught/i)
}

/** The longest claim about each agency's book for each start. */
class Claims {
  private readonly books = new Map<number, Map<string, Claim>>()

  add(claim: Claim): void {
    const claims = this.books.get(claim.agency) ?? new Map<string, Claim>()
    this.books.set(claim.agency, claims)
    const key = `${claim.start} ${claim.whole}`
    const before = claims.get(key)
    const [short, long] =
      before === undefined || before.rows.length <= claim.rows.length
        ? [before, claim]
        : [claim, before]
    ensure(
      short === undefined || short.rows.every((row, at) => row === long.rows[at]),
      "two books acknowledged"
    )
    claims.set(key, long)
  }

  expectHeld(bookOf: (agency: number) => ReadonlyArray<string>): void {
    for (const [agency, claims] of this.books) {
      for (const claim of claims.values()) expectHeld(claim, bookOf(agency))
    }
  }
}

const expectHeld = ({ agency, rows, start, whole }: Claim, book: ReadonlyArray<string>) => {
  const end = start + rows.length
  expect(book.slice(start, end), `agency ${agency} from ${start}`).toEqual(rows)
  if (whole) expect(book.length, `agency ${agency}`).toBe(end)
}

type Server = Effect.Success<ReturnType<typeof startServer>>

interface Input {
  readonly index: number
  readonly session: string
  readonly how: ReadonlyArray<string>
  readonly bytes: Buffer
}

const show = ({ bytes, how, index, session }: Input): string =>
  `LOTTERY_MUTATION_SEED=${SEED} input ${index}: ${session}, ${how.join(", ")}\n` +
  bytes.toString("hex")

/** Runs a check; a failure shows the input, so that it can be repeated. */
const checked = <A>(input: Input, check: () => A, said = "") =>
  Effect.try({
    try: check,
    catch: (error) => new Error(`${String(error)}\n${said}\nat ${show(input)}`)
  })

const localAddressOf = (index: number): string =>
  `127.0.${1 + (index % 200)}.${1 + (Math.floor(index / 200) % 200)}`

/** One session in this many is played unchanged, so that there are books to compare. */
const UNCHANGED_ONE_IN = 8

/** Plays mutants for half the time; `agencyOf` replaces the agency of an input. */
const playMutants = Effect.fnUntraced(function* (
  server: Server,
  known: Known,
  onClaim: (claim: Claim) => void,
  agencyOf?: (index: number, dice: Dice) => number
) {
  const pid = server.child.pid!
  const sockets = socketsOf(pid)
  const millis = (SECONDS / 2) * 1000
  const begun = yield* Clock.currentTimeMillis
  const counts = new Map<string, number>()
  const open = new Set<Input>()
  let index = 0
  let warmKib: number | undefined

  const inputOf = (index: number, dice: Dice): Input => {
    const agency = agencyOf?.(index, dice)
    const pick = (): Session => {
      const session = dice.pick(SESSIONS)
      return agency === undefined ? session : forAgency(session, agency)
    }
    const session = pick()
    const { name } = session
    if (dice.oneIn(UNCHANGED_ONE_IN)) {
      return { index, session: name, how: ["as saved"], bytes: bytesOf(session) }
    }
    return { index, session: name, ...mutate(dice, session, pick()) }
  }

  const playOne = Effect.fnUntraced(function* (index: number) {
    // Each input has its own seed, so it does not depend on the order of the others.
    const dice = new Dice(SEED ^ Math.imul(index, 0x85ebca6b))
    const input = inputOf(index, dice)
    open.add(input)
    const { bytes } = input
    const waits = (heard: Buffer) =>
      isRight(() => expect(judge(bytes, heard, known, true).outcome).toBe("waits"))
    const mayWait = yield* checked(input, () => !known.isDrawn && asksForWinners(bytes))
    const heard = yield* play(server.port, localAddressOf(index), dice, bytes, {
      waits,
      mayWait
    }).pipe(
      Effect.mapError(
        (error) =>
          new Error(
            `${error.message}: the server's log ends with\n${server.stderr().slice(-2000)}\n` +
              `and these were open:\n${[...open].map(show).join("\n")}`
          )
      )
    )
    open.delete(input)
    const said = `heard ${heard.bytes.toString("hex")}`
    const { outcome } = yield* checked(
      input,
      () => {
        const verdict = judge(bytes, heard.bytes, known, heard.isOpen)
        if (verdict.claim !== undefined) onClaim(verdict.claim)
        return verdict
      },
      said
    )
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
  })

  const worker = Effect.gen(function* () {
    for (;;) {
      const elapsed = (yield* Clock.currentTimeMillis) - begun
      if (elapsed >= millis) return
      if (elapsed >= millis / 2) warmKib ??= residentKib(pid)
      yield* playOne(index++)
    }
  })
  yield* Effect.all(
    Array.from({ length: PARALLEL }, () => worker),
    {
      concurrency: "unbounded",
      discard: true
    }
  )
  yield* atRest(pid, sockets)
  const endKib = residentKib(pid)
  if (PRINTS) {
    const shown = OUTCOMES.map((outcome) => `${outcome} ${counts.get(outcome) ?? 0}`).join(", ")
    console.log(`inputs ${index}: ${shown}; resident KiB ${warmKib} to ${endKib}; seed ${SEED}`)
  }
  // A server that refuses everything or nothing would prove nothing.
  expect([...counts.keys()]).toEqual(expect.arrayContaining(["answered", "refused"]))
  expect(endKib, `resident KiB grew from ${warmKib}`).toBeLessThanOrEqual(
    (warmKib ?? endKib) + MEMORY_ALLOWANCE_KIB
  )
})

const PING = Buffer.from("PING\n")
const NEVER_WAITS: Playing = { waits: () => false, mayWait: false }

const playSaved = Effect.fnUntraced(function* (server: Server, session: Session, known: Known) {
  const bytes = bytesOf(session)
  const heard = yield* play(server.port, "127.0.0.1", new Dice(SEED), bytes, NEVER_WAITS)
  const verdict = judge(bytes, heard.bytes, known, heard.isOpen)
  return { ...verdict, heard: heard.bytes }
})

const stopWell = Effect.fnUntraced(function* (server: Server) {
  const heard = yield* play(server.port, "127.0.0.1", new Dice(SEED), PING, NEVER_WAITS)
  expect(heard).toEqual({ bytes: PING, isOpen: false })
  yield* server.signal("SIGTERM")
  const { code, stderr } = yield* server.outcome
  expect(code, stderr.slice(-2000)).toBe(0)
  expectOnlyActions(stderr)
})

/** Returns all books of a store, as rows without line endings. */
const exportedBooks = Effect.fnUntraced(function* (store: string) {
  const { code, stderr, stdout } = yield* runLottery({ args: ["export", "--store", store] })
  expect(code, stderr).toBe(0)
  const books = new Map<number, Array<string>>()
  for (const line of stdout.split("\n").slice(0, -1)) {
    const comma = line.indexOf(",")
    const agency = Number(line.slice(0, comma))
    const book = books.get(agency) ?? []
    books.set(agency, book)
    book.push(line.slice(comma + 1))
  }
  return books
})

const SAVED_BOOKS = new Map(UPLOADS.map(({ agency, book }) => [agency!, book]))
const saved: Known = {
  expects: (agency) => SAVED_BOOKS.has(agency),
  book: (agency) => SAVED_BOOKS.get(agency)!,
  isDrawn: true
}
const savedBooks = () => new Map([...SAVED_BOOKS].filter(([, book]) => book.length > 0))

/** Starts a server and plays all saved uploads, so that the draw is held. */
const startDrawn = Effect.fnUntraced(function* (store: string) {
  const agencies = [...SAVED_BOOKS.keys()].join(",")
  const server = yield* startServer({ store, more: ["--agencies", agencies] })
  const uploads = yield* Effect.forEach(
    UPLOADS,
    (session) => playSaved(server, session, { ...saved, isDrawn: false }),
    {
      concurrency: "unbounded"
    }
  )
  return { server, uploads }
})

describe("a saved session", () => {
  it.live.each(STORES)("gets the right answers before and after the draw: %s", (name) =>
    Effect.gen(function* () {
      const store = inFolder(yield* temporaryFolder, name)
      const { server, uploads } = yield* startDrawn(store)
      for (const [index, { claim, outcome }] of uploads.entries()) {
        const { agency, book, name } = UPLOADS[index]!
        expect(outcome, name).toBe("answered")
        expect(claim, name).toEqual({ agency, start: 0, rows: book, whole: true })
      }
      for (const session of SESSIONS) {
        const { heard, outcome } = yield* playSaved(server, session, saved)
        const { book, dialect, name, winners } = session
        // Repeated native bets are refused; the Welcome has said that the book is finished.
        const isRefused = dialect === "native" && UPLOADS.includes(session) && book.length > 0
        expect(outcome, name).toBe(isRefused ? "refused" : "answered")
        if (isRefused) expect(heard.toString(), name).toContain("AlreadyFinished")
        else expect(winners ?? winnersIn(book), name).toEqual(winnersIn(book))
      }
      yield* stopWell(server)
      expect(yield* exportedBooks(store)).toEqual(savedBooks())
    })
  )
})

/** The agencies of mutants; each one has a few concurrent uploads for a short time. */
const FIRST_AGENCY = 1000
const AGENCIES = 8000
const manyAgencies = (index: number, dice: Dice): number =>
  FIRST_AGENCY + ((Math.floor(index / 16) + dice.below(8)) % AGENCIES)

describe("mutants of the saved sessions", () => {
  it.live(
    "change nothing and do not wait once the draw is held",
    () =>
      Effect.gen(function* () {
        const store = inFolder(yield* temporaryFolder, "csv:bets.csv")
        const { server } = yield* startDrawn(store)
        yield* playMutants(server, saved, (claim) => {
          expectHeld(claim, SAVED_BOOKS.get(claim.agency)!)
        })
        yield* stopWell(server)
        expect(yield* exportedBooks(store)).toEqual(savedBooks())
      }),
    TIMEOUT_MILLIS
  )

  it.live(
    "store only valid bets before the draw, and every acknowledged bet is stored",
    () =>
      Effect.gen(function* () {
        const store = inFolder(yield* temporaryFolder, "sqlite:lottery.db")
        const more = ["--agencies", "9999"]
        const known: Known = { expects: (agency) => agency >= 1 && agency <= 9999, isDrawn: false }
        const server = yield* startServer({ store, more })
        const claims = new Claims()
        yield* playMutants(server, known, (claim) => claims.add(claim), manyAgencies)
        yield* stopWell(server)
        const books = yield* exportedBooks(store)
        claims.expectHeld((agency) => books.get(agency) ?? [])
        for (const [agency, book] of books) {
          expect(known.expects(agency)).toBe(true)
          const rows = Buffer.from(book.map((row) => `${row}\n`).join(""))
          expect(Result.isSuccess(batchFromRows(rows, book.length)), `agency ${agency}`).toBe(true)
        }
        yield* stopWell(yield* startServer({ store, more }))
        expect(yield* exportedBooks(store)).toEqual(books)
      }),
    TIMEOUT_MILLIS
  )
})
