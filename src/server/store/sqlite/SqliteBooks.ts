/**
 * Reads and writes one draw in an open SQLite database. Runs in the store's worker, so it is
 * synchronous and imports no library.
 */

import type { DatabaseSync, SQLInputValue, SQLTagStore, StatementSync } from "node:sqlite"
import { MAX_ROW_BYTES } from "../../../domain/BetRow.ts"
import type { AgencyProgress, PageRange, StoredDraw } from "../BetStore.ts"
import type { Outcome, Write } from "../embedded/GroupCommit.ts"
import type { WinningRow } from "../WinningRows.ts"
import { RowFields } from "./RowFields.ts"
import { type Failure, failureOf } from "./SqliteFile.ts"

/** Rows per page; keeps a page below 1 MiB. */
const PAGE_ROWS = Math.floor((1024 * 1024) / MAX_ROW_BYTES)
/** Rows per insert statement; more is hardly faster and makes the last, partial insert slower. */
const INSERT_ROWS = 50
const VALUES_PER_ROW = 5
/** Bytes written between checkpoints of the write-ahead log. */
const CHECKPOINT_BYTES = 4 * 1024 * 1024
const utf8 = new TextEncoder()

/** The strict table guarantees the types. */
type AgencyRow = Readonly<Record<"bets" | "finished" | "told", number>>

type BetRow = [number, string, string, string, string, number]

const quoted = (field: string): string =>
  field.includes(",") || field.includes('"') ? `"${field.replaceAll('"', '""')}"` : field

const insertSql = (rows: number): string => {
  const row = (index: number) => `($draw, $agency, $position + ${index}, ?, ?, ?, ?, ?)`
  return `insert into bets values ${Array.from({ length: rows }, (_, index) => row(index))}`
}

type Of<Kind extends Write["kind"]> = Extract<Write, { readonly kind: Kind }>

export class SqliteBooks {
  private readonly database: DatabaseSync
  private readonly drawId: string
  /** Another process may write the file. */
  private readonly isReader: boolean
  private readonly sql: SQLTagStore
  /** Insert statements by number of rows. */
  private readonly inserts: Array<StatementSync> = []
  private selectPage: StatementSync | undefined
  /** Discards per agency since the file was opened. */
  private editions: ReadonlyMap<number, number> = new Map()
  private key: number | undefined
  private broken: Failure | undefined
  private sinceCheckpoint = 0

  constructor(database: DatabaseSync, drawId: string, isReader = false) {
    this.database = database
    this.drawId = drawId
    this.isReader = isReader
    this.sql = database.createTagStore()
  }

  private drawKey(): number | null {
    if (this.key === undefined) {
      const row = this.sql.get`select id from draws where name = ${this.drawId}`
      this.key = row?.id as number | undefined
    }
    return this.key ?? null
  }

  /** Bets may arrive before the draw is opened, so this creates the draw's row if necessary. */
  private drawKeyToWrite(): number {
    const key = this.drawKey()
    if (key !== null) return key
    this.sql.run`insert into draws values (null, ${this.drawId}, null, null, 0)`
    return this.drawKeyToWrite()
  }

  /** Stores the writes in one transaction; a refused write does not affect the others. */
  commit(writes: ReadonlyArray<Write>): ReadonlyArray<Outcome> | Failure {
    if (this.broken !== undefined) return this.broken
    const { editions } = this
    let failure: Failure
    try {
      this.database.exec("begin immediate")
      const outcomes = writes.map((write) => this.write(write))
      this.database.exec("commit")
      // Also counts writes without bets, so that `close` checkpoints them.
      this.sinceCheckpoint += writes.length
      return outcomes
    } catch (error) {
      failure = failureOf(error)
    }
    this.key = undefined
    this.editions = editions
    try {
      if (failure.kind !== "broken" && this.database.isTransaction) this.database.exec("rollback")
    } catch (error) {
      // Neither committed nor rolled back: the state on disk is unknown, as after a failed sync.
      const { message } = error as Error
      failure = { kind: "broken", reason: `${failure.reason}; then ${message}` }
    }
    if (failure.kind === "broken") this.broken = failure
    return failure
  }

  private write(write: Write): Outcome {
    switch (write.kind) {
      case "append":
        return this.append(write)
      case "finish":
        return this.finish(write)
      case "told":
        return this.told(write)
      case "openDraw":
        return this.openDraw(write)
      case "recordDraw":
        return this.recordDraw()
      case "discard":
        return this.discard(write)
    }
  }

  private append(write: Of<"append">): Outcome {
    const { agency, position, runs, size, count, last } = write
    const { bets, finished, edition } = this.progressOf(agency)
    if ((write.edition ?? edition) !== edition) return { kind: "otherEdition" }
    if (finished) return { kind: "alreadyFinished", bets }
    if (bets !== position) return { kind: "conflict", stored: bets }
    const draw = this.drawKeyToWrite()
    let next = position
    for (const run of runs) next = this.insert(draw, agency, next, run)
    const now = last === undefined ? 0 : 1
    this.sql.run`insert into agencies values (${draw}, ${agency}, ${position + count}, ${now}, 0)
      on conflict do update set bets = excluded.bets, finished = excluded.finished`
    this.sinceCheckpoint += size
    return { kind: "done" }
  }

  /** Returns the position after the inserted rows. */
  private insert(draw: number, agency: number, from: number, bytes: Uint8Array): number {
    let values: Array<SQLInputValue> = []
    let position = from
    const insertRows = () => {
      const rows = values.length / VALUES_PER_ROW
      this.inserts[rows] ??= this.database.prepare(insertSql(rows))
      this.inserts[rows].run({ draw, agency, position }, ...values)
      position += rows
      values = []
    }
    for (const row = new RowFields(bytes); row.next(); ) {
      values.push(row.firstName, row.lastName, row.document, row.birthdate, row.number)
      if (values.length === INSERT_ROWS * VALUES_PER_ROW) insertRows()
    }
    if (values.length > 0) insertRows()
    return position
  }

  private finish({ agency, bets, ...write }: Of<"finish">): Outcome {
    const stored = this.progressOf(agency)
    if ((write.edition ?? stored.edition) !== stored.edition) return { kind: "otherEdition" }
    if (stored.bets !== bets) return { kind: "bookMismatch", stored: stored.bets }
    if (!stored.finished) {
      this.sql.run`insert into agencies values (${this.drawKeyToWrite()}, ${agency}, ${bets}, 1, 0)
        on conflict do update set finished = 1`
    }
    return { kind: "done" }
  }

  private told({ agency }: Of<"told">): Outcome {
    this.sql.run`insert into agencies values (${this.drawKeyToWrite()}, ${agency}, 0, 0, 1)
      on conflict do update set told = 1`
    return { kind: "done" }
  }

  private openDraw({ agencies, winningNumber }: Of<"openDraw">): Outcome {
    const stored = this.draw()
    if (stored !== undefined) return { kind: "draw", stored }
    this.sql.run`update draws
      set agencies = ${JSON.stringify(agencies)}, winning_number = ${winningNumber}
      where id = ${this.drawKeyToWrite()}`
    // A partial index over winning bets only: appends stay cheap and the draw is immediate.
    this.database.exec(
      `create index if not exists bets_on_${winningNumber}
        on bets (draw, agency, position, document) where number = ${winningNumber}`
    )
    return { kind: "done" }
  }

  private recordDraw(): Outcome {
    const stored = this.draw()
    if (stored === undefined) return { kind: "missing", agencies: [] }
    if (stored.recorded) return { kind: "alreadyRecorded" }
    const agencies = stored.agencies.filter((agency) => !this.progressOf(agency).finished)
    if (agencies.length > 0) return { kind: "missing", agencies }
    this.sql.run`update draws set recorded = 1 where id = ${this.drawKey()}`
    return { kind: "done" }
  }

  private discard({ agency }: Of<"discard">): Outcome {
    if (this.draw()?.recorded) return { kind: "alreadyRecorded" }
    this.editions = new Map(this.editions).set(agency, this.edition(agency) + 1)
    const draw = this.drawKey()
    const deleted = this.sql.run`delete from bets where draw = ${draw} and agency = ${agency}`
    this.sql.run`delete from agencies where draw = ${draw} and agency = ${agency}`
    const bets = Number(deleted.changes)
    // A deleted row uses as much of the log as an inserted one.
    if (bets > 0) this.sinceCheckpoint += CHECKPOINT_BYTES
    return { kind: "discarded", bets }
  }

  private edition(agency: number): number {
    return this.editions.get(agency) ?? 0
  }

  /**
   * Keeps a reader on one snapshot of the file while it reads a book, from the progress to the last
   * page. Otherwise the reader would miss a discard by the writer in between. One book at a time.
   */
  private takeSnapshot(ofBook: boolean): void {
    if (!this.isReader) return
    if (this.database.isTransaction) this.database.exec("commit")
    if (ofBook) this.database.exec("begin")
  }

  draw(): StoredDraw | undefined {
    this.takeSnapshot(false)
    const row = this.sql.get`select agencies, winning_number, recorded from draws
      where name = ${this.drawId} and agencies not null`
    if (row === undefined) return undefined
    return {
      agencies: JSON.parse(String(row.agencies)),
      winningNumber: Number(row.winning_number),
      recorded: row.recorded === 1
    }
  }

  progressOf(agency: number): AgencyProgress {
    this.takeSnapshot(true)
    const row = this.sql.get`select bets, finished, told from agencies
      where draw = ${this.drawKey()} and agency = ${agency}`
    return this.progressIn(agency, row as AgencyRow | undefined)
  }

  progress(): ReadonlyMap<number, AgencyProgress> {
    this.takeSnapshot(false)
    const rows = this.sql.all`select agency, bets, finished, told from agencies
      where draw = ${this.drawKey()}`
    const all = new Map<number, AgencyProgress>()
    // Includes agencies that have only a discarded book.
    for (const agency of this.editions.keys()) all.set(agency, this.progressIn(agency))
    for (const { agency, ...row } of rows as Array<AgencyRow & { agency: number }>) {
      all.set(agency, this.progressIn(agency, row))
    }
    return new Map([...all].sort(([one], [other]) => one - other))
  }

  private progressIn(agency: number, row?: AgencyRow): AgencyProgress {
    const { bets, finished, told } = row ?? { bets: 0, finished: 0, told: 0 }
    return { bets, finished: finished === 1, told: told === 1, edition: this.edition(agency) }
  }

  /** Returns at most `PAGE_ROWS` canonical rows; none if the book has another edition. */
  page(agency: number, { edition, from, until }: PageRange): { bytes: Uint8Array; count: number } {
    // Returning arrays takes two thirds of the time of returning objects.
    this.selectPage ??= this.database.prepare(
      `select position, first_name, last_name, document, birthdate, number from bets
        where draw = ? and agency = ? and position >= ? and position < ? order by position`,
      { returnArrays: true }
    )
    const end = this.edition(agency) === edition ? Math.min(until, from + PAGE_ROWS) : from
    let page = ""
    let count = 0
    for (const row of this.selectPage.iterate(this.drawKey(), agency, from, end)) {
      const [position, firstName, lastName, document, birthdate, number] = row as unknown as BetRow
      // Another program deleted a bet, so the remaining positions are wrong.
      if (position !== from + count) break
      page += `${quoted(firstName)},${quoted(lastName)},${document},${birthdate},${number}\n`
      count++
    }
    return { bytes: utf8.encode(page), count }
  }

  winners(winningNumber: number): ReadonlyArray<WinningRow> {
    // A literal number, so that the planner uses the partial index.
    const statement = this.database.prepare(
      `select agency, position, document from bets
        where draw = ? and number = ${winningNumber} order by agency, position`
    )
    return statement.all(this.drawKey()) as unknown as Array<WinningRow>
  }

  /**
   * Copies the write-ahead log into the file once it has grown. Returns the failure only if a sync
   * failed: after any other error the data is still durable in the log and is copied later.
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

  /** Checkpoints first: SQLite's own checkpoint on close does not report a failed sync. */
  close(): Failure | undefined {
    const failure = this.checkpoint(1)
    this.database.close()
    return failure
  }
}
