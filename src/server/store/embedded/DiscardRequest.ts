/**
 * Discards a book from an embedded store that a server has open. Only the server may write the
 * store, so another process asks it to, with a request file next to the store. Both sides are here.
 * A request is executed at most once, and never after its process has been gone for some seconds.
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

/** How often the server looks for a request. */
const SERVER_LOOKS_EVERY = "500 millis"
/** The asking process renews its request every second; one that was missed some times is stale. */
const STALE_MILLIS = 5000
/** A file that is not a request may be one that is just being written, which takes less. */
const WRITTEN_MILLIS = 1000
const LOOK_MILLIS = 100
const LOOKS_A_SECOND = 1000 / LOOK_MILLIS
/** A CSV store of half a gigabyte is rewritten in less. */
const ANSWER_TIMEOUT_SECONDS = 10
/** Waits for another request to be done: longer than a leftover one takes to be stale. */
const BUSY_RETRY_MILLIS = 250
const BUSY_RETRIES = (STALE_MILLIS + 1000) / BUSY_RETRY_MILLIS

/** The server that has the store open did not discard the book, or may not have. */
class DiscardFailed extends Data.TaggedError("DiscardFailed")<{
  readonly message: string
}> {}

type Discard = BetStore["Service"]["discard"]

/**
 * Reads the request to the store at the canonical `path`. One of a user who cannot write the store
 * is an error: it stays, and nothing is done for it.
 */
const readBelieved = Effect.fnUntraced(function* (path: string) {
  const file = RequestFile.pathOf(path)
  const found = yield* RequestFile.read(file)
  if (found === undefined || (yield* canWrite(found.user, path))) return found
  const reason = `${file} ${foreign(found.user)}`
  return yield* new RequestFile.RequestFileError({ reason })
})

/**
 * Removes a request to an earlier server of the store at the canonical `path`: its process is told
 * to look first. An answer stays for the process that waits for it.
 */
export const clear = Effect.fnUntraced(
  function* (path: string) {
    const found = yield* readBelieved(path)
    if (found === undefined || found.request?.answer !== undefined) return
    yield* RequestFile.remove(RequestFile.pathOf(path))
  },
  (effect) => Effect.ignore(effect)
)

/** Does and logs what a request asks for; gives the answer. */
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
    // A broken store ends the server by itself.
    onFailure: ({ message }) => refuse(message)
  })
}

/**
 * Serves the requests of other processes until the scope closes; gives a tick after each. This
 * process has the lock of the store at the canonical `path`.
 */
export const serve = Effect.fnUntraced(function* (path: string, drawId: string, discard: Discard) {
  const file = RequestFile.pathOf(path)
  // A late subscriber gets the last tick; a slow one misses ticks, except the last.
  const ticks = yield* PubSub.sliding<void>({ capacity: 1, replay: 1 })
  /** An answer that could not be written is kept: the request is not executed again. */
  let last: { readonly token: string; readonly answer: RequestFile.Answer } | undefined
  /** Why a request could not be looked at or answered, as it was last logged. */
  let warned: string | undefined

  const answer = Effect.fnUntraced(function* (request: RequestFile.Request) {
    const { token } = request
    if (last?.token !== token) last = { token, answer: yield* execute(request, drawId, discard) }
    // Before the answer, on which another book may be sent at once.
    yield* PubSub.publish(ticks, undefined)
    yield* RequestFile.answer(file, request, last.answer)
  }, Effect.uninterruptible)

  const look = Effect.gen(function* () {
    const found = yield* readBelieved(path)
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

  /** Tells a reason once; the file is looked at again. */
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

/** Which book is to be dropped from which store. */
export interface Asked {
  /** The path as a person gave it. */
  readonly path: string
  readonly drawId: string
  readonly agency: Agency
}

const removeStale = Effect.fnUntraced(function* (path: string) {
  const found = yield* readBelieved(path)
  if (found === undefined || found.ageMillis <= STALE_MILLIS) return
  yield* RequestFile.remove(RequestFile.pathOf(path))
})

/** Makes the request file, once no other one is there. */
const create = (store: string, path: string, request: RequestFile.Request) =>
  RequestFile.create(path, request).pipe(
    Effect.tapError(({ code }) => (code === "EEXIST" ? removeStale(path) : Effect.void)),
    Effect.retry({
      while: ({ code }) => code === "EEXIST",
      schedule: Schedule.spaced(BUSY_RETRY_MILLIS),
      times: BUSY_RETRIES
    }),
    Effect.mapError((error) => {
      const message = `another discard in ${store} is being asked for; ask again when it is done`
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
    const message = `${server} ${instead}; look with lottery status what is held, and ask again`
    return Effect.fail(new DiscardFailed({ message }))
  }
  const handle = yield* create(store, path, request)

  const look = Effect.gen(function* () {
    const found = yield* RequestFile.read(file)
    if (found?.request?.token === token) return found.request.answer
    return yield* unanswered("took the request away without an answer")
  })
  const awaitAnswer = Effect.gen(function* () {
    for (let looks = 0; ; looks++) {
      if (looks % LOOKS_A_SECOND === 0) yield* RequestFile.renew(handle)
      const hasStopped = looks % LOOKS_A_SECOND === 0 && !(yield* isInUse(path))
      // It may have answered before it stopped.
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

/** Why a book was not discarded, or may not have been. */
export type DiscardFailure =
  | DrawAlreadyHeld
  | StoreUnavailable
  | StoreBroken
  | StoreOpenError
  | DiscardFailed
  | RequestFile.RequestFileError

/**
 * Drops a book from a store that `open` opens to write it, or asks the server that has it open
 * already. Gives how many bets were dropped.
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
