/**
 * The bets of one draw in an open SQLite database: what is written and what is read, as SQL.
 * Synchronous and free of libraries, for the store's worker.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"
import type { AgencyProgress } from "../BetStore.ts"
import type { DrawTerms } from "../DrawTerms.ts"
import type { HeldBook, Outcome, Write } from "../embedded/EmbeddedStore.ts"
import type { WinningRow } from "../WinningRows.ts"
import { RowFields } from "./RowFields.ts"
import { type Failure, failureOf, reasonOf } from "./SqliteFile.ts"

export type Read =
  | { readonly kind: "draw" }
  | { readonly kind: "progress" }
  | { readonly kind: "progressOf"; readonly agency: number }
  | {
      readonly kind: "page"
      readonly agency: number
      readonly from: number
      readonly until: number
      /** Of another edition of the book there is nothing. */
      readonly edition: number
    }
  | { readonly kind: "winners"; readonly number: number }

/** What each read gives. */
export interface ReadAnswers {
  readonly draw: { readonly terms: DrawTerms; readonly recorded: boolean } | undefined
  readonly progress: ReadonlyArray<readonly [agency: number, progress: AgencyProgress]>
  readonly progressOf: AgencyProgress
  /** Canonical rows, at most `PAGE_ROWS` of them. */
  readonly page: { readonly bytes: Uint8Array; readonly count: number }
  readonly winners: ReadonlyArray<WinningRow>
}

/** Rows of a page: at most 433 bytes each, so a page stays below a MiB. */
export const PAGE_ROWS = 2400
/** Rows of an insert statement; more is hardly faster, and the remainder takes longer. */
const INSERT_ROWS = 50
/** What is bound of a row beside its key. */
const ROW_VALUES = 5
/** How much is written before the write-ahead log is copied into the file. */
const CHECKPOINT_BYTES = 4 * 1024 * 1024
const utf8 = new TextEncoder()

const quoted = (field: string): string =>
  field.includes(",") || field.includes('"') ? `"${field.replaceAll('"', '""')}"` : field

/** What the rows of a statement have in common is bound once. */
const insertSql = (rows: number): string => {
  const row = (index: number) => `($draw, $agency, $position + ${index}, ?, ?, ?, ?, ?)`
  return `insert into bets values ${Array.from({ length: rows }, (_, index) => row(index))}`
}

/** A cached statement whose rows are plain arrays. */
const arrays = (database: DatabaseSync, sql: string): StatementSync => {
  const statement = database.prepare(sql)
  statement.setReturnArrays(true)
  return statement
}

/** A row of a statement from `arrays`, whose typed columns the schema guarantees. */
const rowsOf = <Row extends ReadonlyArray<unknown>>(rows: Iterable<unknown>): Iterable<Row> =>
  rows as Iterable<Row>

/** The store of one draw in an open database. */
export class SqliteBooks {
  private readonly database: DatabaseSync
  private readonly drawId: string
  private readonly statements = new Map<string, StatementSync>()
  /** How many books of an agency were discarded since the file was opened. */
  private readonly editions = new Map<number, number>()
  /** The agencies whose books the transaction discards. */
  private discarded: Array<number> = []
  /** The draw's key in the tables, once it is known to be committed. */
  private key: number | undefined
  private broken: Failure | undefined
  private sinceCheckpoint = 0

  /** Somebody else writes the file. */
  private readonly isReader: boolean

  constructor(database: DatabaseSync, drawId: string, isReader = false) {
    this.database = database
    this.drawId = drawId
    this.isReader = isReader
  }

  private sql(text: string): StatementSync {
    let statement = this.statements.get(text)
    if (statement === undefined) {
      statement = arrays(this.database, text)
      this.statements.set(text, statement)
    }
    return statement
  }

  private one<Row extends ReadonlyArray<unknown>>(
    sql: string,
    ...values: Array<SQLInputValue>
  ): Row | undefined {
    // With setReturnArrays a row is an array, which the type of `get` does not say.
    return this.sql(sql).get(...values) as unknown as Row | undefined
  }

  private all<Row extends ReadonlyArray<unknown>>(
    sql: string,
    ...values: Array<SQLInputValue>
  ): Iterable<Row> {
    return rowsOf<Row>(this.sql(sql).iterate(...values))
  }

  private drawKey(): number | undefined {
    this.key ??= this.one<[number]>("select id from draws where name = ?", this.drawId)?.[0]
    return this.key
  }

  /** The draw's key for a write. Bets may come before the draw is opened. */
  private drawKeyToWrite(): number {
    const key = this.drawKey()
    if (key !== undefined) return key
    this.sql("insert into draws values (null, ?, null, null, 0)").run(this.drawId)
    return this.drawKey()!
  }

  private terms(): { terms: DrawTerms; recorded: boolean } | undefined {
    const row = this.one<[string, number, number]>(
      "select agencies, winning_number, recorded from draws where name = ? and agencies not null",
      this.drawId
    )
    if (row === undefined) return undefined
    const terms = { agencies: JSON.parse(row[0]) as Array<number>, winningNumber: row[1] }
    return { terms, recorded: row[2] === 1 }
  }

  private standing(draw: number, agency: number): HeldBook {
    const row = this.one<[number, number]>(
      "select bets, finished from agencies where draw = ? and agency = ?",
      draw,
      agency
    )
    return row === undefined
      ? { bets: 0, finished: false }
      : { bets: row[0], finished: row[1] === 1 }
  }

  /** Stores the writes in one transaction; each that is refused leaves the others be. */
  commit(writes: ReadonlyArray<Write>): ReadonlyArray<Outcome> | Failure {
    if (this.broken !== undefined) return this.broken
    this.discarded = []
    try {
      this.database.exec("begin immediate")
      const outcomes = writes.map((write) => this.write(write))
      this.database.exec("commit")
      // Also what holds no bets is to be copied in the end.
      this.sinceCheckpoint += writes.length
      for (const agency of this.discarded) this.editions.set(agency, this.edition(agency) + 1)
      return outcomes
    } catch (error) {
      return this.rolledBack(failureOf(error))
    }
  }

  private rolledBack(failure: Failure): Failure {
    this.key = undefined
    if (failure.kind === "broken") {
      this.broken = failure
      return failure
    }
    try {
      if (this.database.isTransaction) this.database.exec("rollback")
      return failure
    } catch (error) {
      // Neither committed nor rolled back: what it holds is as unknown as after a failed sync.
      this.broken = { kind: "broken", reason: `${failure.reason}; then ${reasonOf(error)}` }
      return this.broken
    }
  }

  private write(write: Write): Outcome {
    switch (write.kind) {
      case "append":
        return this.append(write)
      case "finish":
        return this.finish(write)
      case "told":
        return this.told(write.agency)
      case "openDraw":
        return this.openDraw(write)
      case "recordDraw":
        return this.recordDraw()
      case "discard":
        return this.discard(write.agency)
    }
  }

  private append(write: Extract<Write, { kind: "append" }>): Outcome {
    const { agency, position, runs, size, count, last, edition } = write
    if (this.isOtherEdition(agency, edition)) return { kind: "otherEdition" }
    const draw = this.drawKeyToWrite()
    const { bets, finished } = this.standing(draw, agency)
    if (finished) return { kind: "alreadyFinished", bets }
    if (bets !== position) return { kind: "conflict", held: bets }
    let next = position
    for (const run of runs) next = this.insert(draw, agency, next, run)
    this.sql(
      `insert into agencies values (?, ?, ?, ?, 0)
        on conflict do update set bets = excluded.bets, finished = excluded.finished`
    ).run(draw, agency, position + count, last === undefined ? 0 : 1)
    this.sinceCheckpoint += size
    return { kind: "done" }
  }

  /** Gives the position behind the rows. */
  private insert(draw: number, agency: number, from: number, bytes: Uint8Array): number {
    let values: Array<SQLInputValue> = []
    let position = from
    const insertRows = () => {
      const rows = values.length / ROW_VALUES
      const key = { draw, agency, position }
      this.sql(insertSql(rows)).run(key, ...values)
      position += rows
      values = []
    }
    for (const row = new RowFields(bytes); row.next(); ) {
      values.push(row.firstName, row.lastName, row.document, row.birthdate, row.number)
      if (values.length === INSERT_ROWS * ROW_VALUES) insertRows()
    }
    if (values.length > 0) insertRows()
    return position
  }

  private finish({ agency, bets, edition }: Extract<Write, { kind: "finish" }>): Outcome {
    if (this.isOtherEdition(agency, edition)) return { kind: "otherEdition" }
    const draw = this.drawKeyToWrite()
    const held = this.standing(draw, agency)
    if (held.bets !== bets) return { kind: "bookMismatch", held: held.bets }
    if (!held.finished) {
      this.sql(
        "insert into agencies values (?, ?, ?, 1, 0) on conflict do update set finished = 1"
      ).run(draw, agency, bets)
    }
    return { kind: "done" }
  }

  private told(agency: number): Outcome {
    this.sql("insert into agencies values (?, ?, 0, 0, 1) on conflict do update set told = 1").run(
      this.drawKeyToWrite(),
      agency
    )
    return { kind: "done" }
  }

  private openDraw(asked: DrawTerms): Outcome {
    const stored = this.terms()
    if (stored !== undefined) return { kind: "draw", ...stored }
    this.sql("update draws set agencies = ?, winning_number = ? where id = ?").run(
      JSON.stringify(asked.agencies),
      asked.winningNumber,
      this.drawKeyToWrite()
    )
    // Only winning bets are in it: it costs nothing to add a bet, and the draw is immediate.
    const number = Number(asked.winningNumber)
    this.database.exec(
      `create index if not exists bets_on_${number}
        on bets (draw, agency, position, document) where number = ${number}`
    )
    return { kind: "done" }
  }

  private recordDraw(): Outcome {
    const stored = this.terms()
    if (stored === undefined) return { kind: "missing", agencies: [] }
    if (stored.recorded) return { kind: "alreadyRecorded" }
    const draw = this.drawKeyToWrite()
    const missing = stored.terms.agencies.filter((agency) => !this.standing(draw, agency).finished)
    if (missing.length > 0) return { kind: "missing", agencies: missing }
    this.sql("update draws set recorded = 1 where id = ?").run(draw)
    return { kind: "done" }
  }

  private discard(agency: number): Outcome {
    if (this.terms()?.recorded) return { kind: "alreadyRecorded" }
    this.discarded.push(agency)
    const draw = this.drawKey()
    if (draw === undefined) return { kind: "discarded", bets: 0 }
    const deleted = this.sql("delete from bets where draw = ? and agency = ?").run(draw, agency)
    this.sql("delete from agencies where draw = ? and agency = ?").run(draw, agency)
    const bets = Number(deleted.changes)
    // A deleted row weighs as much in the log as an added one.
    if (bets > 0) this.sinceCheckpoint += CHECKPOINT_BYTES
    return { kind: "discarded", bets }
  }

  private edition(agency: number): number {
    return this.editions.get(agency) ?? 0
  }

  private isOtherEdition(agency: number, edition: number | undefined): boolean {
    const discardedNow = this.discarded.filter((other) => other === agency).length
    return edition !== undefined && edition !== this.edition(agency) + discardedNow
  }

  /**
   * Who reads beside the writer sees one state of the file from the beginning of a book, which is
   * its progress, to its last page: it knows of no discard in between. One book at a time.
   */
  private takeSnapshot({ kind }: Read): void {
    if (!this.isReader || kind === "page") return
    if (this.database.isTransaction) this.database.exec("commit")
    if (kind === "progressOf") this.database.exec("begin")
  }

  read(read: Read): ReadAnswers[Read["kind"]] {
    this.takeSnapshot(read)
    switch (read.kind) {
      case "draw":
        return this.terms()
      case "progress":
        return this.progress()
      case "progressOf":
        return this.progressOf(read.agency)
      case "page":
        return this.edition(read.agency) === read.edition
          ? this.page(read.agency, read.from, read.until)
          : { bytes: new Uint8Array(0), count: 0 }
      case "winners":
        return this.winners(read.number)
    }
  }

  private progressOf(agency: number): ReadAnswers["progressOf"] {
    const row = this.one<[number, number, number]>(
      "select bets, finished, told from agencies where draw = ? and agency = ?",
      this.drawKey() ?? null,
      agency
    )
    const [bets, finished, told] = row ?? [0, 0, 0]
    return { bets, finished: finished === 1, told: told === 1, edition: this.edition(agency) }
  }

  private progress(): ReadAnswers["progress"] {
    const rows = this.all<[number, number, number, number]>(
      "select agency, bets, finished, told from agencies where draw = ? order by agency",
      this.drawKey() ?? null
    )
    const all = new Map<number, AgencyProgress>()
    // Also of an agency whose book is gone it is known that it is another one now.
    for (const [agency, edition] of this.editions) {
      all.set(agency, { bets: 0, finished: false, told: false, edition })
    }
    for (const [agency, bets, finished, told] of rows) {
      const edition = this.edition(agency)
      all.set(agency, { bets, finished: finished === 1, told: told === 1, edition })
    }
    return [...all].sort(([one], [other]) => one - other)
  }

  private page(agency: number, from: number, until: number): ReadAnswers["page"] {
    const rows = this.all<[number, string, string, string, string, number]>(
      `select position, first_name, last_name, document, birthdate, number from bets
        where draw = ? and agency = ? and position >= ? and position < ? order by position`,
      this.drawKey() ?? null,
      agency,
      from,
      Math.min(until, from + PAGE_ROWS)
    )
    let page = ""
    let count = 0
    for (const [position, firstName, lastName, document, birthdate, number] of rows) {
      // Another program took a bet out: what follows is not where it should be.
      if (position !== from + count) break
      page += `${quoted(firstName)},${quoted(lastName)},${document},${birthdate},${number}\n`
      count++
    }
    return { bytes: utf8.encode(page), count }
  }

  private winners(winningNumber: number): ReadAnswers["winners"] {
    // The number stands in the text: only so does the planner see that the index is meant for it.
    const rows = this.all<[number, number, string]>(
      `select agency, position, document from bets
        where draw = ? and number = ${Number(winningNumber)} order by agency, position`,
      this.drawKey() ?? null
    )
    return Array.from(rows, ([agency, position, document]) => ({ agency, position, document }))
  }

  /**
   * Copies the write-ahead log into the file once it has grown; gives the failure of a sync.
   * Any other error leaves everything in the log, where it is durable, and is met again later.
   */
  checkpoint(grownBytes = CHECKPOINT_BYTES): Failure | undefined {
    if (this.broken !== undefined || this.sinceCheckpoint < grownBytes) return undefined
    try {
      this.database.exec("pragma wal_checkpoint(passive)")
      this.sinceCheckpoint = 0
      return undefined
    } catch (error) {
      const failure = failureOf(error)
      if (failure.kind === "unavailable") return undefined
      this.broken = failure
      return failure
    }
  }
}
