/**
 * An agency's conversation in the native dialect (docs/wire.md, "Native"). It resumes after the
 * bets that the server has stored, waits for the draw, and reconnects if the connection is lost.
 */
import { Clock, Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { DrawId, WinningDocuments } from "../../domain/Draw.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import { maxRowBytes } from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import * as Book from "../book/Book.ts"
import type * as DrawWatch from "../evidence/DrawWatch.ts"
import { reconnecting } from "../Reconnect.ts"
import { connect, type ServerConnection } from "../ServerConnection.ts"
import { BadAnswer, Refused, unexpected } from "../ServerFailure.ts"
import type { UploadProgress } from "../UploadProgress.ts"
import { type Conversation, reportAcknowledged } from "./Conversation.ts"
import * as NativeServer from "./NativeServer.ts"
import { upload } from "./NativeUpload.ts"
import * as StoredBook from "./StoredBook.ts"

interface Participation {
  readonly agency: Agency
  readonly draw: DrawId
  /** Identifies the agency to a server that requires a token. */
  readonly token?: string | undefined
  readonly book: Book.Book
  readonly progress: UploadProgress
  /** Holds the operator of a sealed draw to its promises; undefined without the operator's key. */
  readonly watch?: DrawWatch.DrawWatch | undefined
}

/** The codes with which a server refuses other bets than those that were checked. */
const CHANGED_CODES: ReadonlyArray<string | undefined> = ["BookMismatch", "InvalidBet", "Malformed"]

/** Reports the book if it changed, or the refused bet with its place. */
const explained = (book: Book.Book, refused: Refused) =>
  Effect.gen(function* () {
    const { code, position } = refused
    if (CHANGED_CODES.includes(code)) yield* Book.verify(book)
    if (position === undefined) return yield* refused
    return yield* new Refused({ ...refused, place: yield* book.placeOf(position) })
  })

/** Sends the bets that are not stored yet. */
const deliver = Effect.fnUntraced(function* (
  server: NativeServer.NativeServer,
  { agency, book, progress }: Participation,
  welcome: Native.Welcome
) {
  const { bets: stored } = welcome
  if (stored > 0) {
    yield* logAction("upload_resumed", "success", { agencia: agency, posicion: stored })
  }
  yield* upload(server, welcome, stored, Book.from(book, stored), (frame) =>
    reportAcknowledged(agency, frame, progress)
  )
})

/** Finishes the book; `isFinished` says that it is already, and that only a receipt is missing. */
const finish = Effect.fnUntraced(function* (
  server: NativeServer.NativeServer,
  { book, watch }: Participation,
  isFinished: boolean
) {
  const { sha256, total } = book
  const askedMillis = yield* Clock.currentTimeMillis
  yield* server.send(new Native.Finish({ bets: total, sha256 }))
  const finished = yield* server.receiveOnly(Native.Finished)
  if (finished.bets !== total || finished.sha256 !== sha256) {
    return yield* new BadAnswer({
      reason: `it finished a different book of ${finished.bets} bets`
    })
  }
  yield* watch?.finished(finished, isFinished ? undefined : askedMillis) ?? Effect.void
})

/** Asks for the agency's winners and waits for the draw. */
const awaitWinners = Effect.fnUntraced(function* (
  server: NativeServer.NativeServer,
  { progress, watch }: Participation
) {
  yield* server.send(new Native.AwaitWinners({}))
  const documents: Array<string> = []
  let areFirst = true
  for (;;) {
    const answer = yield* server.receive
    switch (answer._tag) {
      case "Waiting":
        yield* progress.wait(answer)
        yield* watch?.waiting(answer) ?? Effect.void
        break
      case "Winners":
        if (areFirst) yield* watch?.drawn(answer) ?? Effect.void
        areFirst = false
        for (const document of answer.documents) documents.push(document)
        if (!answer.more) return documents satisfies WinningDocuments
        break
      default:
        return yield* unexpected(answer)
    }
  }
})

/** Runs the conversation on one connection, from its first byte to the winners. */
export const converse = Effect.fn("NativeConversation.converse")(function* (
  connection: ServerConnection,
  participation: Participation
) {
  const { agency, book, draw, progress, token, watch } = participation
  const server = NativeServer.make(connection)
  const proof = token !== undefined && { token }
  const { total } = book
  yield* server.greet(new Native.Hello({ draw, agency, ...proof, book: { bets: total } }))
  const welcome = yield* server.receiveOnly(Native.Welcome)
  if (welcome.draw !== draw) {
    const reason = `its draw is ${welcome.draw}, expected ${draw}`
    return yield* new BadAnswer({ reason })
  }
  // Comparing large books takes time.
  yield* progress.reconnect()
  yield* watch?.connected ?? Effect.void
  yield* StoredBook.check(server, agency, book, welcome, progress.acknowledged)
  yield* progress.resume(welcome.bets)
  const complete = Effect.gen(function* () {
    if (!welcome.finished) yield* deliver(server, participation, welcome)
    if (!welcome.finished || watch?.hasReceipt() === false) {
      yield* finish(server, participation, welcome.finished)
    }
  })
  yield* Effect.catchTag(complete, "Refused", (refused) => explained(book, refused))
  yield* progress.finish()
  return yield* awaitWinners(server, participation)
})

/** Loaded on demand: only the client of a sealed draw needs it. */
const loadDrawWatch = Effect.promise(() => import("../evidence/DrawWatch.ts"))

interface Options {
  readonly token?: string | undefined
  /** What a sealed draw is checked with. */
  readonly vigilance?: DrawWatch.Vigilance | undefined
}

export const make = (
  agency: Agency,
  draw: DrawId,
  { token, vigilance }: Options = {}
): Conversation => ({
  // Canonical rows can quote any name.
  check: () => undefined,
  maxBatchBytes: maxRowBytes(MAX_FRAME_BYTES),
  hold: Effect.fnUntraced(function* (book, { server }, progress) {
    const watch = vigilance && (yield* loadDrawWatch).make({ ...vigilance, agency, draw, book })
    const participation = { agency, draw, token, book, progress, watch }
    const documents = yield* reconnecting(
      agency,
      progress,
      Effect.flatMap(connect(server), (connection) => converse(connection, participation))
    )
    // Without a connection, because reading a large book takes time.
    yield* watch?.told(documents) ?? Effect.void
    return documents
  })
})
