/** Client messages as bytes, encoded independently of the codecs under test. */
import { createHash } from "node:crypto"

const RECORD = { name: "Ana", last: "Perez", birthdate: "1999-03-17" }

/** The five fields of a bet. Each document gives a different bet. */
export const fields = (document: number, number = 1): ReadonlyArray<string> => [
  RECORD.name,
  RECORD.last,
  String(document),
  RECORD.birthdate,
  String(number)
]

export const packet = (content: string | Uint8Array, more: boolean): Buffer => {
  const bytes = Buffer.from(content)
  const size = Buffer.alloc(2)
  size.writeUInt16BE(bytes.length + 2)
  return Buffer.concat([size, bytes, Buffer.from([0, more ? 1 : 0])])
}

export const packetOf = (
  agency: number,
  bets: ReadonlyArray<ReadonlyArray<string>>,
  more: boolean
): Buffer => packet(`${agency};${bets.map((bet) => bet.join(";")).join(";")}`, more)

/** A JSON message as the course's clients encode it. */
export const json = (message: unknown): Buffer => {
  const text = Buffer.from(JSON.stringify(message))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}

export const chunkOf = (
  agency: number,
  bets: ReadonlyArray<ReadonlyArray<string>>,
  last: boolean
): Buffer =>
  json({
    type_message: last ? 2 : 1,
    agency: String(agency),
    payload: bets.map((bet) => bet.join(","))
  })

export const consultOf = (agency: number): Buffer =>
  json({ type_message: 3, agency: String(agency), payload: null })

/** Decodes a JSON message, skipping its length. */
export const readJson = (bytes: Buffer): unknown => JSON.parse(bytes.subarray(4).toString())

export const STORED = Buffer.from([0, 1])
export const REFUSED = Buffer.from([0, 0])
export const CHUNK_PROCESSED = json({ type_message: 1, payload: null })

/** The winners as a binary client receives them. */
export const winnersOf = (...documents: ReadonlyArray<number>): Buffer => {
  const text = Buffer.from(documents.join(";"))
  const size = Buffer.alloc(2)
  size.writeUInt16BE(text.length)
  return Buffer.concat([size, text])
}

export const PREFACE = Buffer.from("ff4c5452590d0a01", "hex")

const frame = (kind: number, body: Uint8Array): Buffer => {
  const header = Buffer.alloc(5)
  header.writeUInt32BE(1 + body.length)
  header[4] = kind
  return Buffer.concat([header, body])
}

/** A native control message; a string is used unchanged. */
export const controlFrame = (message: unknown): Buffer =>
  frame(1, Buffer.from(typeof message === "string" ? message : JSON.stringify(message)))

/** The preface and a Hello. */
export const helloOf = (agency: number, draw = "default", more: object = {}): Buffer =>
  Buffer.concat([PREFACE, controlFrame({ _tag: "Hello", draw, agency, ...more })])

export const rowsOf = (bets: ReadonlyArray<ReadonlyArray<string>>): string =>
  bets.map((bet) => `${bet.join(",")}\n`).join("")

export const sha256Of = (rows: string): string => createHash("sha256").update(rows).digest("hex")

export const betsOf = (position: number, bets: ReadonlyArray<ReadonlyArray<string>>): Buffer =>
  betsFrame(position, bets.length, rowsOf(bets))

export const finishOf = (bets: ReadonlyArray<ReadonlyArray<string>>): Buffer =>
  controlFrame({ _tag: "Finish", bets: bets.length, sha256: sha256Of(rowsOf(bets)) })

export const betsFrame = (position: number, count: number, rows: string | Uint8Array): Buffer => {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(position)
  header.writeUInt32BE(count, 4)
  return frame(2, Buffer.concat([header, Buffer.from(rows)]))
}

/** Decodes a native control message, skipping its length and kind. */
export const readControl = (bytes: Uint8Array): unknown =>
  JSON.parse(Buffer.from(bytes).subarray(5).toString())

export const AWAIT_WINNERS = controlFrame({ _tag: "AwaitWinners" })
export const COMPARE = controlFrame({ _tag: "Compare" })

export const controlsIn = (bytes: Buffer): Array<Record<string, unknown>> => {
  const messages: Array<Record<string, unknown>> = []
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
    messages.push(JSON.parse(bytes.subarray(at + 5, at + 4 + bytes.readUInt32BE(at)).toString()))
  }
  return messages
}
