/** An in-process server with HTTP, on free ports and with files of a board made for the test. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Deferred, Effect, Layer } from "effect"
import type { ExpectedAgencies } from "../../../src/domain/Draw.ts"
import * as Http from "../../../src/server/operator/http/Http.ts"
import { Watched } from "../../../src/server/operator/http/Watched.ts"
import type * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { temporaryFolder } from "../TemporaryFolder.ts"
import * as TestServer from "./TestServer.ts"

/** The board's files, which tests recognise in an answer. */
export const FILES = {
  "board.html": "<!doctype html><title>board</title>\n",
  "board.css": "body { margin: 0 }\n",
  "board.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>\n",
  "board.js": "export {}\n"
}

/** Writes the board's files to a new folder; a test may leave some out. */
export const boardFolder = Effect.fnUntraced(function* (files: Partial<typeof FILES> = FILES) {
  const folder = join(yield* temporaryFolder, "board")
  mkdirSync(folder)
  for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content)
  return folder
})

export interface Options extends TestServer.Options {
  readonly http?: Partial<Http.Options>
}

/** Starts it; it stops when the scope closes. */
export const start = Effect.fnUntraced(function* (
  store: StoreUrl.StoreUrl,
  agencies: ExpectedAgencies,
  { http, ...options }: Options = {}
) {
  const httpOptions = {
    host: "127.0.0.1",
    port: 0,
    hosts: [],
    version: "1.2.3",
    store: store._tag,
    publishSeal: false,
    boardFolder: yield* boardFolder(),
    ...http
  }
  const found = yield* Deferred.make<Watched["Service"]>()
  const server = yield* TestServer.start(store, agencies, 7574, {
    ...options,
    wrap: (serving) =>
      Layer.effectDiscard(
        Effect.flatMap(Watched, (watched) => Deferred.succeed(found, watched))
      ).pipe(
        Layer.provideMerge(Http.around(serving, httpOptions)),
        Layer.provide(NodeServices.layer)
      )
  })
  const address = server.log.map((line) => /url: http:\/\/\S+:(\d+)/.exec(line)).find(Boolean)
  return { ...server, httpPort: Number(address?.[1]), watched: yield* Deferred.await(found) }
})
