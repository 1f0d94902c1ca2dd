/** A scripted server that sends the built board, and to each open board the events of a test. */
import { readFileSync } from "node:fs"
import * as Http from "node:http"
import { join } from "node:path"
import { Effect } from "effect"
import type { LiveEvents } from "../../../src/server/operator/board/LiveState.ts"
import * as LoopbackServer from "../peers/loopbackServer.ts"

const dist = join(import.meta.dirname, "..", "..", "..", "dist")

/** What the real server allows the page. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"

/** How long a browser waits before it asks for a broken stream again. */
const RETRY_MILLIS = 200

const FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/": ["board.html", "text/html; charset=utf-8"],
  "/board.css": ["board.css", "text/css"],
  "/board.js": ["board.js", "text/javascript"],
  "/board.svg": ["board.svg", "image/svg+xml"]
}

/** `open` answers, `silent` says nothing more, `refusing` answers 503, and `away` hangs up. */
export type Mood = "open" | "silent" | "refusing" | "away"

export interface BoardServer {
  readonly url: string
  /** Sends an event to the open boards, and to those that come later. */
  readonly send: <Name extends keyof LiveEvents>(name: Name, data: LiveEvents[Name]) => void
  /** Ends the open streams, and treats later ones by the mood. */
  readonly breakStreams: (mood: Mood) => void
  readonly setMood: (mood: Mood) => void
  /** How many streams have been asked for. */
  readonly streams: () => number
}

export const start = Effect.gen(function* () {
  const folder = /command-\w+/.exec(readFileSync(join(dist, "lottery.cjs"), "utf8"))?.[0]
  if (folder === undefined) return yield* Effect.die("no command in dist")
  const latest = new Map<string, string>()
  const streams = new Set<Http.ServerResponse>()
  let mood: Mood = "open"
  let asked = 0

  const stream = (response: Http.ServerResponse): void => {
    asked += 1
    if (mood === "away") return void response.destroy()
    if (mood === "refusing") return void response.writeHead(503).end()
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.write(`retry: ${RETRY_MILLIS}\n\n`)
    if (mood === "open") for (const event of latest.values()) response.write(event)
    streams.add(response)
    response.on("close", () => streams.delete(response))
  }

  const server = Http.createServer((request, response) => {
    if (request.url === "/api/events") return stream(response)
    const [file, type] = FILES[request.url ?? ""] ?? []
    if (file === undefined || type === undefined) return void response.writeHead(404).end()
    const headers = { "content-type": type, "content-security-policy": POLICY }
    response.writeHead(200, headers).end(readFileSync(join(dist, folder, file)))
  })
  const port = yield* LoopbackServer.listen(server)
  const made: BoardServer = {
    url: `http://127.0.0.1:${port}/`,
    send: (name, data) => {
      const event = `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
      latest.set(name, event)
      if (mood === "open") for (const response of streams) response.write(event)
    },
    breakStreams: (next) => {
      mood = next
      for (const response of streams) response.destroy()
    },
    setMood: (next) => {
      mood = next
    },
    streams: () => asked
  }
  return made
})
