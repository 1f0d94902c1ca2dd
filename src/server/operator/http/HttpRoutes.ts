/** The paths of the HTTP server and their answers (docs/http.md). */
import { Effect, Layer, Option } from "effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { MAX_LISTED_AGENCIES } from "../DrawStanding.ts"
import * as BoardFiles from "./BoardFiles.ts"
import { text } from "./HttpGuard.ts"
import { STORE_UNAVAILABLE } from "./LiveFeed.ts"
import * as PublishedFiles from "./PublishedFiles.ts"
import { type Serving, Watched } from "./Watched.ts"

/** Boards that may be open at once. */
export const MAX_BOARDS = 128

const unavailable = (reason: string) => text(503, reason)

const standingOf = ({ lottery, standing }: Serving) =>
  lottery.draw.agencies.length > MAX_LISTED_AGENCIES
    ? Effect.succeed(
        text(501, `a draw of more than ${MAX_LISTED_AGENCIES} agencies: use lottery status --json`)
      )
    : Effect.match(standing, {
        onSuccess: (json) =>
          HttpServerResponse.uint8Array(json, { contentType: "application/json" }),
        onFailure: () => unavailable(STORE_UNAVAILABLE)
      })

const readyOf = ({ problem }: Serving) =>
  Effect.map(problem, Option.match({ onNone: () => text(200, "ready"), onSome: unavailable }))

const fileOf =
  (name: PublishedFiles.Name) =>
  ({ published }: Serving, { headers }: HttpServerRequest) =>
    published === undefined
      ? Effect.succeed(text(404, "The server was started without --publish-seal."))
      : Effect.match(published(name), {
          onSuccess: (file) => {
            if (file === undefined) return text(404, `There is no ${name} yet.`)
            const { bytes, etag } = file
            // A browser may weaken the tag or send several.
            return headers["if-none-match"]?.includes(etag)
              ? HttpServerResponse.empty({ status: 304, headers: { etag } })
              : HttpServerResponse.uint8Array(bytes, {
                  contentType: "text/plain; charset=utf-8",
                  headers: { etag }
                })
          },
          onFailure: () => unavailable(STORE_UNAVAILABLE)
        })

/** Sends a board its events until it disconnects. */
const eventsOf = ({ feed }: Serving, boards: Set<object>, { method }: HttpServerRequest) => {
  if (boards.size >= MAX_BOARDS) {
    return Effect.succeed(unavailable(`${MAX_BOARDS} boards are open already`))
  }
  const contentType = "text/event-stream"
  if (method === "HEAD")
    return Effect.succeed(
      HttpServerResponse.empty({ status: 200, headers: { "content-type": contentType } })
    )
  const board = {}
  return Effect.as(
    Effect.acquireRelease(
      Effect.sync(() => boards.add(board)),
      () => Effect.sync(() => boards.delete(board))
    ),
    HttpServerResponse.stream(feed.events, { contentType })
  )
}

export const layer = (boardFolder: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const watched = yield* Watched
      /** Answers while the server serves; before and after it says why it does not. */
      const whileServing =
        <E, R>(
          answer: (
            serving: Serving,
            request: HttpServerRequest
          ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
        ) =>
        (request: HttpServerRequest) =>
          Effect.suspend(() => {
            const { state } = watched
            return typeof state === "string"
              ? Effect.succeed(unavailable(state))
              : answer(state, request)
          })
      const files = yield* BoardFiles.read(boardFolder)
      return Layer.mergeAll(
        HttpRouter.add("GET", "/healthz", text(200, "ok")),
        HttpRouter.add("GET", "/readyz", whileServing(readyOf)),
        HttpRouter.add(
          "GET",
          "/metrics",
          whileServing(({ metrics }) =>
            Effect.map(metrics, (lines) =>
              HttpServerResponse.uint8Array(lines, {
                contentType: "text/plain; version=0.0.4; charset=utf-8"
              })
            )
          )
        ),
        HttpRouter.add("GET", "/api/standing", whileServing(standingOf)),
        HttpRouter.add(
          "GET",
          "/api/events",
          whileServing((serving, request) => eventsOf(serving, watched.http.boards, request))
        ),
        ...PublishedFiles.NAMES.map((name) =>
          HttpRouter.add("GET", `/draw/${name}`, whileServing(fileOf(name)))
        ),
        ...files.map(({ path, response }) => HttpRouter.add("GET", path, response))
      )
    })
  )
