/**
 * An agency's conversation in the native dialect (wire: "Native"): it goes on from what the server
 * holds of its book, waits for the draw, and connects again where the connection is lost.
 */
import { Effect } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { DrawId, WinningDocuments } from "../../domain/Draw.ts"
import { MAX_FRAME_BYTES } from "../../protocol/Limits.ts"
import { maxRowBytes } from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import { AnotherBook, firstDifference } from "../book/AnotherBook.ts"
import type { Book } from "../book/Book.ts"
import { BookGone } from "../book/BookGone.ts"
import * as BookPass from "../book/BookPass.ts"
import { reconnecting } from "../Reconnect.ts"
import {
  BadAnswer,
  connect,
  Refused,
  type ServerConnection,
  unexpected
} from "../ServerConnection.ts"
import type { UploadProgress } from "../UploadProgress.ts"
import type { Conversation } from "./Conversation.ts"
import * as NativeServer from "./NativeServer.ts"
import { upload } from "./NativeUpload.ts"
import { logSent } from "./SentBets.ts"

/** What a conversation is about. */
export interface Errand {
  readonly agency: Agency
  readonly draw: DrawId
  /** What proves that it is this agency, where the server asks for that. */
  readonly token?: string | undefined
  readonly book: Book
  readonly progress: UploadProgress
}

/** Says who is there, and hears what the server holds. */
const greet = Effect.fnUntraced(function* (
  server: NativeServer.NativeServer,
  { agency, draw, token }: Errand
) {
  yield* server.greet(new Native.Hello({ draw, agency, ...(token !== undefined && { token }) }))
  const welcome = yield* server.hearOnly("Welcome")
  if (welcome.draw === draw) return welcome
  return yield* new BadAnswer({
    reason: `it is there for the draw ${welcome.draw}, not for ${draw}`
  })
})

/** Whether what is held is the book as far as it is held; a finished one is held as a whole. */
const holdsBook = Effect.fnUntraced(function* (book: Book, welcome: Native.Welcome) {
  const { bets, finished, sha256 } = welcome
  if (bets > book.total || (finished && bets < book.total)) return false
  if (bets === book.total) return sha256 === book.sha256
  return bets === 0 || sha256 === (yield* BookPass.digestOfFirst(book, bets))
})

/** Fails, and says what is known of the other book that is held. */
const refuseOther = Effect.fnUntraced(function* (
  server: NativeServer.NativeServer,
  { agency, book }: Errand,
  welcome: Native.Welcome
) {
  // Where the file has changed since it was checked, that is what is wrong.
  yield* BookPass.verify(book)
  const { bets: held } = welcome
  const position = yield* firstDifference(server, book, held, welcome)
  const { total } = book
  const differs = position !== undefined && position < Math.min(held, total)
  const place = differs ? yield* book.placeOf(position) : undefined
  return yield* new AnotherBook({ agency, held, total, position, place })
})

/** Says where in the book a refused bet stands. */
const findRefused = (book: Book) =>
  Effect.fnUntraced(function* (refused: Refused) {
    if (refused.position === undefined) return yield* refused
    return yield* new Refused({ ...refused, place: yield* book.placeOf(refused.position) })
  })

/** Sends what is not held yet, and says that the book is whole. */
const deliver = Effect.fnUntraced(function* (
  server: NativeServer.NativeServer,
  { agency, book, progress }: Errand,
  welcome: Native.Welcome
) {
  const { bets: held } = welcome
  if (held > 0) {
    yield* logAction("carga_reanudada", "success", { agencia: agency, posicion: held })
  }
  const sent = upload(server, {
    limits: welcome,
    start: held,
    bets: BookPass.from(book, held),
    onAcknowledged: ({ batch, position }) =>
      Effect.andThen(
        logSent(agency, batch, book.total),
        progress.acknowledged(position + batch.count)
      )
  })
  yield* Effect.catchTag(sent, "Refused", findRefused(book))
  const { sha256, total } = book
  yield* server.say(new Native.Finish({ bets: total, sha256 }))
  const finished = yield* server.hearOnly("Finished")
  if (finished.bets === total && finished.sha256 === sha256) return
  return yield* new BadAnswer({
    reason: `it has finished another book, of ${finished.bets} bets`
  })
})

/** Asks for the agency's winners, and waits for the draw. */
const awaitWinners = Effect.fnUntraced(function* (
  server: NativeServer.NativeServer,
  progress: UploadProgress
) {
  yield* server.say(new Native.AwaitWinners({}))
  const documents: Array<string> = []
  for (;;) {
    const answer = yield* server.hear
    switch (answer._tag) {
      case "Waiting":
        yield* progress.waiting(answer.finished, answer.expected)
        break
      case "Winners":
        for (const document of answer.documents) documents.push(document)
        if (!answer.more) return documents satisfies WinningDocuments
        break
      default:
        return yield* unexpected(answer._tag)
    }
  }
})

/**
 * Holds the conversation on one connection, from its first byte to the winners. So many bets were
 * acknowledged on those before.
 */
export const converse = Effect.fn("NativeConversation.converse")(function* (
  connection: ServerConnection,
  errand: Errand,
  acknowledged = 0
) {
  const { agency, book, progress } = errand
  const server = NativeServer.make(connection)
  const welcome = yield* greet(server, errand)
  if (welcome.bets < acknowledged) {
    return yield* new BookGone({ agency, acknowledged, held: welcome.bets })
  }
  if (!(yield* holdsBook(book, welcome))) return yield* refuseOther(server, errand, welcome)
  yield* progress.resumed(welcome.bets)
  if (!welcome.finished) yield* deliver(server, errand, welcome)
  yield* progress.finished
  return yield* awaitWinners(server, progress)
})

export const make = (agency: Agency, draw: DrawId, token?: string): Conversation => ({
  // Canonical rows can say every name.
  check: () => undefined,
  maxBatchBytes: maxRowBytes(MAX_FRAME_BYTES),
  hold: (book, { server }, progress) =>
    reconnecting(
      agency,
      progress,
      Effect.fnUntraced(function* (watched, acknowledged) {
        const connection = yield* connect(server)
        const errand = { agency, draw, token, book, progress: watched }
        return yield* converse(connection, errand, acknowledged)
      }, Effect.scoped)
    )
})
