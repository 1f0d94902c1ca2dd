/** HTTP over a plain socket, for requests that a well-behaved client cannot send. */
import type * as Net from "node:net"
import { Effect } from "effect"
import { dial, exchange } from "./exchange.ts"

export interface Answer {
  /** 0 if the connection closed without an answer. */
  readonly status: number
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

const unchunked = (body: string): string => {
  let text = ""
  let rest = body
  for (;;) {
    const [line = ""] = rest.split("\r\n", 1)
    const length = Number.parseInt(line, 16)
    if (!(length > 0)) return text
    text += rest.slice(line.length + 2, line.length + 2 + length)
    rest = rest.slice(line.length + 2 + length + 2)
  }
}

/** Parses one answer; a body of Latin-1 characters, each a byte. */
export const answerOf = (bytes: Buffer): Answer => {
  const text = bytes.toString("latin1")
  const end = text.indexOf("\r\n\r\n")
  const [first = "", ...lines] = text.slice(0, Math.max(0, end)).split("\r\n")
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
  )
  const body = text.slice(end + 4)
  return {
    status: Number(first.split(" ")[1] ?? 0),
    headers,
    body: headers.get("transfer-encoding") === "chunked" ? unchunked(body) : body
  }
}

/** Sends bytes, and returns the answer once the server has closed the connection. */
export const ask = (port: number, bytes: string | Buffer) =>
  Effect.map(exchange({ port }, Buffer.from(bytes as string, "latin1")), answerOf)

export const request = (path: string, method = "GET", headers = "Host: localhost\r\n"): string =>
  `${method} ${path} HTTP/1.1\r\n${headers}\r\n`

export const get = (port: number, path: string) => ask(port, request(path))

/** What a board of a test has received. */
export interface RawBoard {
  readonly socket: Net.Socket
  /** The text of all chunks so far, with the head of the answer. */
  readonly text: () => string
  readonly isClosed: () => boolean
}

/** Asks for the live events and keeps what arrives; closes with the scope. */
export const openBoard = Effect.fnUntraced(function* (port: number) {
  const socket = yield* dial({ port })
  const chunks: Array<Buffer> = []
  let isClosed = false
  socket.on("data", (chunk: Buffer) => chunks.push(chunk))
  socket.on("close", () => {
    isClosed = true
  })
  socket.write(request("/api/events"))
  return {
    socket,
    text: () => Buffer.concat(chunks).toString("latin1"),
    isClosed: () => isClosed
  } satisfies RawBoard
})
