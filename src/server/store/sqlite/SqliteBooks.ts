/**
 * Reads and writes one draw in an open SQLite database. Runs in the store's worker, so it is
 * synchronous and imports no library.
 */

import type { DatabaseSync, SQLTagStore, StatementSync } from "node:sqlite"
import { FIELD_COUNT } from "../../../domain/BetRow.ts"
import type { AgencyProgress, Evidence, FinishedDigest } from "../BetStore.ts"
import type { PageRange } from "../BookOptions.ts"
import { keptBecause } from "../Closing.ts"
import { type DrawStep, planStep } from "../embedded/DrawSteps.ts"
import type { Outcome, Write } from "../embedded/Write.ts"
import type { StoredDraw } from "../StoredDraw.ts"
import type { WinningRow } from "../WinningRows.ts"
import { RowFields } from "./RowFields.ts"
import { readDraw, writeDraw } from "./SqliteDrawRow.ts"
import {
  readDigests,
  readEvidence,
  readSha256,
  writeDigest,
  writeEvidence
} from "./SqliteEvidence.ts"
import { type Failure, failureOf } from "./SqliteFile.ts"
import { SqlitePages } from "./SqlitePages.ts"

/** Rows per insert statement; more is hardly faster and makes the last, partial insert slower. */
const INSERT_ROWS = 50
/** Bytes written between checkpoints of the write-ahead log. */
const CHECKPOINT_BYTES = 4 * 1024 * 1024

/** The strict table guarantees the types. */
type AgencyRow = Readonly<Record<"bets" | "finished" | "excluded" | "told", number>>

/**
 * With `or fail` SQLite does not keep what it needs to undo a single statement. A failed insert
 * fails its whole transaction anyway.
 */
const insertSql = (rows: number): string => {
  const row = (index: number) => `($draw, $agency, $position + ${index}, ?, ?, ?, ?, ?)`
  return `insert or fail into bets values ${Array.from({ length: rows }, (_, index) => row(index))}`
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
  /** The values of one insert. */
  private readonly values: Array<string | number> = []
  private readonly pages: SqlitePages
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
    this.pages = new SqlitePages(database)
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
    this.sql.run`insert into draws (name, drawn) values (${this.drawId}, 0)`
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
      case "recordDraw":
        return this.recordDraw()
      case "recordNote":
        writeEvidence(this.sql, this.drawKeyToWrite(), { [write.note]: write.text })
        return { kind: "done" }
      case "discard":
        return this.discard(write)
      default:
        return this.takeStep(write)
    }
  }

  private append(write: Of<"append">): Outcome {
    const { agency, position, runs, size, count, last } = write
    const { bets, finished, edition, excluded } = this.progressOf(agency)
    if ((write.edition ?? edition) !== edition) return { kind: "otherEdition" }
    if (excluded) return { kind: "isExcluded" }
    if (finished) return { kind: "alreadyFinished", bets }
    if (bets !== position) return { kind: "conflict", stored: bets }
    const draw = this.drawKeyToWrite()
    let next = position
    for (const run of runs) next = this.insert(draw, agency, next, run)
    const now = last === undefined ? 0 : 1
    this.sql.run`insert into agencies (draw, agency, bets, finished, excluded, told)
      values (${draw}, ${agency}, ${position + count}, ${now}, 0, 0)
      on conflict do update set bets = excluded.bets, finished = excluded.finished`
    if (last !== undefined) writeDigest(this.sql, draw, agency, last)
    this.sinceCheckpoint += size
    return { kind: "done" }
  }

  /** Returns the position after the inserted rows. */
  private insert(draw: number, agency: number, from: number, bytes: Uint8Array): number {
    const { values } = this
    const fields = new RowFields(bytes)
    let position = from
    for (;;) {
      const rows = fields.read(values, INSERT_ROWS)
      if (rows === 0) return position
      this.inserts[rows] ??= this.database.prepare(insertSql(rows))
      const used = rows === INSERT_ROWS ? values : values.slice(0, rows * FIELD_COUNT)
      this.inserts[rows].run({ draw, agency, position }, ...used)
      position += rows
    }
  }

  private finish({ agency, bets, digest, ...write }: Of<"finish">): Outcome {
    const stored = this.progressOf(agency)
    if ((write.edition ?? stored.edition) !== stored.edition) return { kind: "otherEdition" }
    if (stored.excluded) return { kind: "isExcluded" }
    if (stored.bets !== bets) return { kind: "bookMismatch", stored: stored.bets }
    const draw = this.drawKeyToWrite()
    if (!stored.finished) {
      this.sql.run`insert into agencies (draw, agency, bets, finished, excluded, told)
        values (${draw}, ${agency}, ${bets}, 1, 0, 0)
        on conflict do update set finished = 1`
    }
    writeDigest(this.sql, draw, agency, digest)
    return { kind: "done" }
  }

  private told({ agency }: Of<"told">): Outcome {
    this.sql.run`insert into agencies (draw, agency, bets, finished, excluded, told)
      values (${this.drawKeyToWrite()}, ${agency}, 0, 0, 0, 1)
      on conflict do update set told = 1`
    return { kind: "done" }
  }

  private takeStep(step: DrawStep): Outcome {
    const key = this.drawKeyToWrite()
    const { draw, outcome } = planStep(
      step,
      this.draw(),
      (agency) => this.progressOf(agency),
      (agency) => readSha256(this.sql, key, agency)
    )
    if (outcome.kind === "excluded") {
      for (const { agency } of outcome.exclusions) {
        this.sql.run`insert into agencies (draw, agency, bets, finished, excluded, told)
          values (${key}, ${agency}, 0, 0, 1, 0)
          on conflict do update set excluded = 1`
      }
    }
    if (draw === undefined) return outcome
    writeDraw(this.sql, key, draw)
    if (step.kind === "recordEntries") writeEvidence(this.sql, key, { entries: step.entries })
    return outcome
  }

  private recordDraw(): Outcome {
    const { drawn, winningNumber } = this.draw() ?? {}
    if (winningNumber === undefined) return { kind: "notNumbered" }
    if (drawn) return { kind: "alreadyRecorded" }
    const draw = this.drawKey()
    this.sql.run`insert into winners
      select * from bets where draw = ${draw} and number = ${winningNumber} and agency not in
        (select agency from agencies where draw = ${draw} and excluded)`
    this.sql.run`update draws set drawn = 1 where id = ${draw}`
    return { kind: "done" }
  }

  private discard({ act, agency }: Of<"discard">): Outcome {
    const done = this.sql.get`select bets from discards where id = ${act}`
    if (done !== undefined) return { kind: "discarded", bets: Number(done.bets) }
    const because = keptBecause(this.draw(), this.progressOf(agency))
    if (because !== undefined) return { kind: "kept", because }
    this.editions = new Map(this.editions).set(agency, this.edition(agency) + 1)
    const draw = this.drawKeyToWrite()
    const deleted = this.sql.run`delete from bets where draw = ${draw} and agency = ${agency}`
    this.sql.run`delete from agencies where draw = ${draw} and agency = ${agency}`
    const bets = Number(deleted.changes)
    this.sql.run`insert into discards values (${act}, ${draw}, ${agency}, ${bets})`
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

  /** Lists the draws of the store, oldest first. */
  draws(): ReadonlyArray<string> {
    return this.sql.all`select name from draws order by id`.map(({ name }) => String(name))
  }

  draw(): StoredDraw | undefined {
    this.takeSnapshot(false)
    return readDraw(this.sql, this.drawId)
  }

  progressOf(agency: number): AgencyProgress {
    this.takeSnapshot(true)
    const row = this.sql.get`select bets, finished, excluded, told from agencies
      where draw = ${this.drawKey()} and agency = ${agency}`
    return this.progressIn(agency, row as AgencyRow | undefined)
  }

  progress(): ReadonlyMap<number, AgencyProgress> {
    this.takeSnapshot(false)
    const rows = this.sql.all`select agency, bets, finished, excluded, told from agencies
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
    return {
      bets: row?.bets ?? 0,
      finished: row?.finished === 1,
      excluded: row?.excluded === 1,
      told: row?.told === 1,
      edition: this.edition(agency)
    }
  }

  /** Returns some canonical rows; none if the book has another edition. */
  page(agency: number, { edition, from, until }: PageRange): { bytes: Uint8Array; count: number } {
    const end = this.edition(agency) === edition ? until : from
    return this.pages.read(this.drawKey(), agency, from, end)
  }

  winners(): ReadonlyArray<WinningRow> {
    this.takeSnapshot(false)
    const rows = this.sql.all`
      select agency, position, first_name, last_name, document, birthdate, number from winners
      where draw = ${this.drawKey()} order by agency, position`
    return rows as unknown as Array<WinningRow>
  }

  digests(): ReadonlyMap<number, FinishedDigest> {
    this.takeSnapshot(false)
    return readDigests(this.sql, this.drawKey())
  }

  evidence(): Evidence {
    this.takeSnapshot(false)
    return readEvidence(this.sql, this.drawKey())
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
