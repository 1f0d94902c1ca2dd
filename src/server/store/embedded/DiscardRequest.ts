/**
 * Discards a book from an embedded store that a server has open. Only the server may write the
 * store, so the other process leaves a request file next to it. A request is executed at most once,
 * and never once its process has been gone for some seconds.
 */
import { Data, Effect, PubSub, Random, Schedule, type Scope, Stream } from "effect"
import { ActionLine } from "../../../domain/ActionLog.ts"
import type { Agency } from "../../../domain/Agency.ts"
import type {
  BetStore,
  DrawAlreadyHeld,
  StoreBroken,
  StoreOpenError,
  StoreUnavailable
} from "../BetStore.ts"
import { foreign } from "./PrivateFile.ts"
import * as RequestFile from "./RequestFile.ts"
import { canWrite } from "./StoreFiles.ts"
import { canonicalPath, isInUse } from "./StoreLock.ts"

const SERVER_LOOKS_EVERY = "500 millis"
/** A request is stale if its process has not renewed it for this long; it does so every second. */
const STALE_MILLIS = 5000
/** A file younger than this that is not a request may be one that is still being written. */
const WRITTEN_MILLIS = 1000
const LOOK_MILLIS = 100
const LOOKS_A_SECOND = 1000 / LOOK_MILLIS
/** Longer than it takes to rewrite a CSV store of half a gigabyte. */
const ANSWER_TIMEOUT_SECONDS = 10
/** The retries wait for another request longer than it takes an abandoned one to become stale. */
const BUSY_RETRY_MILLIS = 250
const BUSY_RETRIES = (STALE_MILLIS + 1000) / BUSY_RETRY_MILLIS

/** The server did not discard the book, or it is unknown whether it did. */
class DiscardFailed extends Data.TaggedError("DiscardFailed")<{
  readonly message: string
}> {}

type Discard = BetStore["Service"]["discard"]

/** Reads the request to a store. A request of a user who cannot write the store fails and stays. */
const readTrusted = Effect.fnUntraced(function* (path: string) {
  const file = RequestFile.pathOf(path)
  const found = yield* RequestFile.read(file)
  if (found === undefined || (yield* canWrite(found.user, path))) return found
  const reason = `${file} ${foreign(found.user)}`
  return yield* new RequestFile.RequestFileError({ reason })
})

/** Removes an unanswered request to an earlier server. An answer stays for its process. */
export const clear = Effect.fnUntraced(
  function* (path: string) {
    const found = yield* readTrusted(path)
    if (found === undefined || found.request?.answer !== undefined) return
    yield* RequestFile.remove(RequestFile.pathOf(path))
  },
  (effect) => Effect.ignore(effect)
)

const execute = (
  { agency, draw }: RequestFile.Request,
  drawId: string,
  discard: Discard
): Effect.Effect<RequestFile.Answer> => {
  const log = (result: "success" | "fail", fields: Record<string, string | number>) =>
    Effect.logWarning(new ActionLine("book_discarded", result, { agencia: agency, ...fields }))
  const refuse = (reason: string) => Effect.as(log("fail", { error: reason }), { refused: reason })
  if (draw !== drawId) return refuse(`it serves the draw ${drawId}, not ${draw}`)
  return Effect.matchEffect(discard(agency), {
    onSuccess: (bets) => Effect.as(log("success", { cantidad: bets }), { discarded: bets }),
    // If the store is broken, the server stops anyway.
    onFailure: ({ message }) => refuse(message)
  })
}

/** Serves requests until the scope closes, and emits after each. The caller holds the lock. */
export const serve = Effect.fnUntraced(function* (path: string, drawId: string, discard: Discard) {
  const file = RequestFile.pathOf(path)
  // A late subscriber gets the last event. A slow one may miss all except the last.
  const ticks = yield* PubSub.sliding<void>({ capacity: 1, replay: 1 })
  /** Kept in case it cannot be written, because the request must not be executed again. */
  let last: { readonly token: string; readonly answer: RequestFile.Answer } | undefined
  /** The last logged reason why a request could not be read or answered. */
  let warned: string | undefined

  const answer = Effect.fnUntraced(function* (request: RequestFile.Request) {
    const { token } = request
    if (last?.token !== token) last = { token, answer: yield* execute(request, drawId, discard) }
    // Before the answer, after which another book may arrive at once.
    yield* PubSub.publish(ticks, undefined)
    yield* RequestFile.answer(file, request, last.answer)
  }, Effect.uninterruptible)

  const look = Effect.gen(function* () {
    const found = yield* readTrusted(path)
    if (found === undefined) return
    const { ageMillis, request } = found
    if (ageMillis > STALE_MILLIS) yield* RequestFile.remove(file)
    else if (request !== undefined) {
      if (request.answer === undefined) yield* answer(request)
    } else if (ageMillis > WRITTEN_MILLIS) {
      yield* RequestFile.remove(file)
      yield* Effect.logWarning(`${file} was not a request to discard a book, and was removed`)
    }
  })

  /** Logs a reason once, although the file is read again and again. */
  const warn = ({ reason }: RequestFile.RequestFileError) =>
    Effect.suspend(() => {
      if (reason === warned) return Effect.void
      warned = reason
      return Effect.logWarning(`requests to discard a book cannot be served: ${reason}`)
    })

  yield* Effect.sleep(SERVER_LOOKS_EVERY).pipe(
    Effect.andThen(Effect.catchTag(look, "RequestFileError", warn)),
    Effect.forever,
    Effect.forkScoped
  )
  return Stream.fromPubSub(ticks)
})

export interface Asked {
  /** The path as the user typed it. */
  readonly path: string
  readonly drawId: string
  readonly agency: Agency
}

const removeStale = Effect.fnUntraced(function* (path: string) {
  const found = yield* readTrusted(path)
  if (found === undefined || found.ageMillis <= STALE_MILLIS) return
  yield* RequestFile.remove(RequestFile.pathOf(path))
})

/** Creates the request file once there is no other. */
const create = (store: string, path: string, request: RequestFile.Request) =>
  RequestFile.create(path, request).pipe(
    Effect.tapError(({ code }) => (code === "EEXIST" ? removeStale(path) : Effect.void)),
    Effect.retry({
      while: ({ code }) => code === "EEXIST",
      schedule: Schedule.spaced(BUSY_RETRY_MILLIS),
      times: BUSY_RETRIES
    }),
    Effect.mapError((error) => {
      const message = `another discard in ${store} is under way; try again when it is done`
      return error.code === "EEXIST" ? new DiscardFailed({ message }) : error
    })
  )

/** Asks the server that has the store open and waits for its answer. */
export const ask = Effect.fnUntraced(function* ({ agency, drawId, path: store }: Asked) {
  const path = yield* canonicalPath(store)
  const file = RequestFile.pathOf(path)
  const token = `${process.pid}-${yield* Random.nextInt}`
  const request = new RequestFile.Request({ agency, draw: drawId, token })
  const server = `the server that has ${store} open`
  const unanswered = (instead: string) => {
    const cure = "if lottery status shows that the book is still stored, discard it again"
    const message = `${server} ${instead}; ${cure}`
    return Effect.fail(new DiscardFailed({ message }))
  }
  const handle = yield* create(store, path, request)

  const look = Effect.gen(function* () {
    const found = yield* RequestFile.read(file)
    if (found?.request?.token === token) return found.request.answer
    return yield* unanswered("removed the request without an answer")
  })
  const awaitAnswer = Effect.gen(function* () {
    for (let looks = 0; ; looks++) {
      if (looks % LOOKS_A_SECOND === 0) yield* RequestFile.renew(handle)
      const hasStopped = looks % LOOKS_A_SECOND === 0 && !(yield* isInUse(path))
      // The server may have answered before it stopped.
      const answer = yield* look
      if (answer !== undefined) return answer
      if (hasStopped) return yield* unanswered("has stopped")
      yield* Effect.sleep(LOOK_MILLIS)
    }
  })
  const answer = yield* Effect.timeoutOrElse(awaitAnswer, {
    duration: `${ANSWER_TIMEOUT_SECONDS} seconds`,
    orElse: () => unanswered(`did not answer in ${ANSWER_TIMEOUT_SECONDS} seconds`)
  })
  if ("discarded" in answer) return answer.discarded
  return yield* new DiscardFailed({ message: `${server} refused: ${answer.refused}` })
}, Effect.scoped)

export type DiscardFailure =
  | DrawAlreadyHeld
  | StoreUnavailable
  | StoreBroken
  | StoreOpenError
  | DiscardFailed
  | RequestFile.RequestFileError

/**
 * Discards a book from a store that `open` opens for writing, or asks the server that has it open.
 * Returns the number of discarded bets.
 */
export const discard = (
  open: Effect.Effect<BetStore["Service"], StoreOpenError, Scope.Scope>,
  asked: Asked
): Effect.Effect<number, DiscardFailure> =>
  Effect.scoped(Effect.flatMap(open, (store) => store.discard(asked.agency))).pipe(
    Effect.catchIf(
      (error) => error._tag === "StoreOpenError" && error.inUse === true,
      () => ask(asked)
    )
  )
