/**
 * The model: which books, agencies and draw a right server has at each moment, and so what each
 * agency and each operator may be told (docs/wire.md, docs/operations.md).
 */
import type { Agency } from "../../../src/domain/Agency.ts"
import type { Row } from "./ModelDialect.ts"
import type { Dialect, ModelPeer } from "./ModelMachine.ts"

export interface ModelBook {
  held: ReadonlyArray<Row>
  finished: boolean
  excluded: boolean
  writer: ModelledConnection | undefined
}

export interface ModelledConnection {
  readonly agency: number
  readonly dialect: Dialect
  readonly rows: ReadonlyArray<Row>
  readonly peer: ModelPeer
  alive: boolean
  /** The number of its bets that were acknowledged, or stored at its Hello. */
  position: number
  /** A discard of the agency's book, or its exclusion, disconnects it. */
  present: boolean
  /** Its last batch was accepted, or its book was finished at its Hello. */
  finished: boolean
  /** It has requested its winners. */
  waits: boolean
}

export interface Model {
  readonly books: Map<Agency, ModelBook>
  readonly connections: Array<ModelledConnection>
  /** The fixed number, or undefined if an operator announces it. */
  readonly fixed: number | undefined
  /** The close time in milliseconds. */
  closesAt: number | undefined
  /** The recorded winning number. */
  winningNumber: number | undefined
  /** The bets that each discard has discarded. */
  readonly discarded: Map<string, { readonly agency: Agency; readonly bets: number }>
  drawn: boolean
}

export const newModel = (
  agencies: ReadonlyArray<Agency>,
  fixed: number | undefined,
  closesAt: number | undefined
): Model => ({
  books: new Map(
    agencies.map((agency) => [
      agency,
      { held: [], finished: false, excluded: false, writer: undefined }
    ])
  ),
  connections: [],
  fixed,
  closesAt,
  winningNumber: undefined,
  discarded: new Map(),
  drawn: false
})

/** Events that the runs must contain to prove anything. */
export const EVENTS = [
  "a batch was stored",
  "a batch was refused",
  "a connection was superseded",
  "an agency resumed in mid-book",
  "a machine stopped in the middle of a batch",
  "an unacknowledged batch was stored",
  "an unacknowledged batch was lost",
  "a killed server had written an unacknowledged batch",
  "a book was discarded",
  "a discard was repeated after the corrected book",
  "an agency was excluded",
  "a request of an excluded agency was refused",
  "an exclusion came before the bets",
  "the end of a book came before the exclusion",
  "the books were closed at their time",
  "the close time was moved",
  "a number was announced",
  "a machine stopped in the middle of an act",
  "an unacknowledged act was done",
  "an unacknowledged act was not done",
  "a draw was held",
  "a draw was held without an agency",
  "an agency got its winners"
] as const
export const seen = new Map<(typeof EVENTS)[number], number>()
export const happened = (what: (typeof EVENTS)[number]) => seen.set(what, (seen.get(what) ?? 0) + 1)

export const winnersOf = (rows: ReadonlyArray<Row>, winningNumber: number): ReadonlyArray<Row> =>
  rows.filter((row) => row.endsWith(`,${winningNumber}\n`))

export const documentsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  rows.map((row) => row.split(",")[2]!)

export const leave = (model: Model, connection: ModelledConnection) => {
  connection.alive = false
  const book = model.books.get(connection.agency)!
  if (book.writer === connection) book.writer = undefined
}

/** Predicts the answer to `rows`, sent at `position` of the connection's book. */
export const outcomeOf = (
  book: ModelBook,
  connection: ModelledConnection,
  position: number,
  rows: ReadonlyArray<Row>,
  last: boolean
): "stored" | "refused" => {
  const { held } = book
  if (book.excluded) return "refused"
  if (connection.finished && connection.dialect !== "native") return "refused"
  if (connection.dialect === "native") {
    const follows = position === connection.position && !connection.finished
    const adds = position === held.length && !book.finished
    return follows && (adds || rows.length === 0) ? "stored" : "refused"
  }
  const end = position + rows.length
  const differs = rows.some((row, index) => {
    const other = held[position + index]
    return other !== undefined && other !== row
  })
  if (differs || (book.finished && end > held.length)) return "refused"
  return last && end < held.length ? "refused" : "stored"
}

/** Predicts the answer to a native Finish of a book of `rows`. */
export const outcomeOfFinish = (
  { excluded, held }: ModelBook,
  rows: ReadonlyArray<Row>
): "stored" | "refused" => (!excluded && rows.join("") === held.join("") ? "stored" : "refused")

/** Applies a stored batch to the model; returns the superseded connections. */
export const applyStored = (
  model: Model,
  connection: ModelledConnection,
  position: number,
  rows: ReadonlyArray<Row>,
  last: boolean
): ReadonlyArray<ModelledConnection> => {
  const book = model.books.get(connection.agency)!
  happened("a batch was stored")
  connection.present = true
  const fresh = rows.slice(Math.max(0, book.held.length - position))
  // A batch that is only compared supersedes no writer.
  const changes = fresh.length > 0 || (last && !book.finished)
  const superseded = changes ? becomeWriter(model, connection) : []
  book.held = [...book.held, ...fresh]
  connection.position = position + rows.length
  if (last) finish(model, connection)
  return superseded
}

/** Makes a connection the writer; returns the superseded ones. */
export const becomeWriter = (
  model: Model,
  connection: ModelledConnection
): ReadonlyArray<ModelledConnection> => {
  const book = model.books.get(connection.agency)!
  const { writer } = book
  if (writer === connection) return []
  book.writer = connection
  if (writer === undefined) return []
  writer.alive = false
  happened("a connection was superseded")
  return [writer]
}

export const finish = (model: Model, connection: ModelledConnection) => {
  const book = model.books.get(connection.agency)!
  book.finished = true
  connection.finished = true
  if (book.writer === connection) book.writer = undefined
  holdDraw(model)
}

const isClosed = ({ excluded, finished }: ModelBook) => finished || excluded

/** Holds the draw once it waits for no agency and its number is known. */
export const holdDraw = (model: Model) => {
  const { books, drawn, fixed, winningNumber } = model
  const number = winningNumber ?? fixed
  if (drawn || number === undefined || ![...books.values()].every(isClosed)) return
  model.winningNumber = number
  model.drawn = true
  happened("a draw was held")
  if ([...books.values()].some(({ excluded }) => excluded)) {
    happened("a draw was held without an agency")
  }
}

/** Disconnects the agency's connections that the server knows. */
const disconnect = (model: Model, agency: Agency): ReadonlyArray<ModelledConnection> => {
  const gone = model.connections.filter((one) => one.alive && one.present && one.agency === agency)
  for (const connection of gone) leave(model, connection)
  return gone
}

const applyExclusion = (model: Model, agencies: ReadonlyArray<Agency>) =>
  agencies.flatMap((agency) => {
    model.books.get(agency)!.excluded = true
    return disconnect(model, agency)
  })

/** What a server does whenever it looks at its store; returns the disconnected connections. */
export const look = (model: Model, now: number): ReadonlyArray<ModelledConnection> => {
  const { books, closesAt, winningNumber } = model
  const isDue = closesAt !== undefined && closesAt <= now && winningNumber === undefined
  const late = Array.from(books).filter(([, book]) => !isClosed(book))
  const closes = isDue && late.length > 0 && [...books.values()].some(({ finished }) => finished)
  if (closes) happened("the books were closed at their time")
  const gone = closes
    ? applyExclusion(
        model,
        late.map(([agency]) => agency)
      )
    : []
  holdDraw(model)
  return gone
}

/** A refusal of an act, or its answer and how it changes the model. */
export type Plan =
  | { readonly refused: string }
  | {
      readonly answer: unknown
      /** Returns the disconnected connections. */
      readonly apply: () => ReadonlyArray<ModelledConnection>
    }

const answered = (answer: unknown): Plan => ({ answer, apply: () => [] })

export const planDiscard = (model: Model, agency: Agency, act: string): Plan => {
  const done = model.discarded.get(act)
  const book = model.books.get(agency)!
  if (done !== undefined) return answered(done.bets)
  if (model.winningNumber !== undefined || book.excluded) return { refused: "BookKept" }
  const bets = book.held.length
  return {
    answer: bets,
    apply: () => {
      if (bets > 0) happened("a book was discarded")
      book.held = []
      book.finished = false
      model.discarded.set(act, { agency, bets })
      return disconnect(model, agency)
    }
  }
}

export const planExclude = (model: Model, agencies: ReadonlyArray<Agency>): Plan => {
  const { books, winningNumber } = model
  const included = agencies.filter((agency) => !books.get(agency)!.excluded)
  if (included.length === 0) return answered([])
  const isLeft = ([agency, { excluded }]: [Agency, ModelBook]) =>
    !(excluded || included.includes(agency))
  if (
    winningNumber !== undefined ||
    included.some((agency) => books.get(agency)!.finished) ||
    !Array.from(books).some(isLeft)
  ) {
    return { refused: "NotExcluded" }
  }
  return {
    answer: included.map((agency) => ({ agency, bets: books.get(agency)!.held.length })),
    apply: () => {
      happened("an agency was excluded")
      return applyExclusion(model, included)
    }
  }
}

export const planMoveClose = (model: Model, closesAt: number | undefined, now: number): Plan => {
  if (model.closesAt === closesAt) return answered(undefined)
  const hasPassed = model.closesAt !== undefined && model.closesAt <= now
  if (hasPassed || model.winningNumber !== undefined) return { refused: "CloseNotMoved" }
  return {
    answer: undefined,
    apply: () => {
      happened("the close time was moved")
      model.closesAt = closesAt
      return []
    }
  }
}

export const planAnnounce = (model: Model, number: number): Plan => {
  const { books, fixed, winningNumber } = model
  if (number !== (winningNumber ?? fixed ?? number)) return { refused: "OtherNumber" }
  if (winningNumber !== undefined) return answered(undefined)
  if (![...books.values()].every(isClosed)) return { refused: "NotAllFinished" }
  return {
    answer: undefined,
    apply: () => {
      happened("a number was announced")
      model.winningNumber = number
      return []
    }
  }
}
