/** What an agency sends and hears in each dialect, for the model of docs/wire.md. */
import * as M from "../peers/messages.ts"
import type { Dialect } from "./ModelMachine.ts"

/** The canonical row of a bet. */
export type Row = string

/** The two sides of a conversation. */
interface Speaker {
  readonly agency: number
  readonly dialect: Dialect
}

export const fieldsOf = (rows: ReadonlyArray<Row>) => rows.map((row) => row.trimEnd().split(","))

export const frameOf = (
  { agency, dialect }: Speaker,
  position: number,
  rows: ReadonlyArray<Row>,
  last: boolean
): Buffer => {
  switch (dialect) {
    case "binary":
      return M.packetOf(agency, fieldsOf(rows), !last)
    case "json":
      return M.chunkOf(agency, fieldsOf(rows), last)
    case "native":
      return M.betsOf(position, fieldsOf(rows))
  }
}

export const questionOf = ({ agency, dialect }: Speaker): Buffer => {
  switch (dialect) {
    case "binary":
      return M.packet(`${agency};`, false)
    case "json":
      return M.consultOf(agency)
    case "native":
      return M.AWAIT_WINNERS
  }
}

const STORED_ANSWERS = { binary: M.STORED, json: M.CHUNK_PROCESSED }

/** Returns what follows an acknowledgement of so many bets; undefined if there is none. */
export const afterStored = (
  { dialect }: Speaker,
  heard: Buffer,
  bets: number
): Buffer | undefined => {
  if (dialect !== "native") {
    const answer = STORED_ANSWERS[dialect]
    return heard.subarray(0, answer.length).equals(answer)
      ? heard.subarray(answer.length)
      : undefined
  }
  const [first] = M.controlsIn(heard)
  const isStored = (first?._tag === "Ack" || first?._tag === "Finished") && first.bets === bets
  return isStored ? heard.subarray(4 + heard.readUInt32BE(0)) : undefined
}

export const isStored = (speaker: Speaker, heard: Buffer, bets: number): boolean =>
  afterStored(speaker, heard, bets)?.length === 0

export const isRefused = ({ dialect }: Speaker, heard: Buffer): boolean => {
  switch (dialect) {
    case "binary":
      return heard.equals(M.REFUSED)
    case "json":
      return (M.readJson(heard) as { type_message: number }).type_message === 3
    case "native":
      return M.controlsIn(heard).at(-1)?._tag === "Rejected"
  }
}

export const hearsWinners = (
  { dialect }: Speaker,
  heard: Buffer,
  documents: ReadonlyArray<string>
): boolean => {
  switch (dialect) {
    case "binary":
      return heard.equals(M.winnersOf(...documents.map(Number)))
    case "json":
      return (M.readJson(heard) as { payload: string }).payload === documents.join(",")
    case "native": {
      const said = M.controlsIn(heard).at(-1)
      return said?._tag === "Winners" && String(said.documents) === documents.join(",")
    }
  }
}
