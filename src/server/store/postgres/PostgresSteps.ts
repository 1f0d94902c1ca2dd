/**
 * The steps of a draw in PostgreSQL. Each is one transaction that first locks the draw's row, so
 * that steps follow each other across all servers, and can be repeated if its answer is lost.
 */
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import { Data, Effect, Semaphore } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import type { Beacon } from "../../../domain/seal/Quicknet.ts"
import { entriesOf, type Seal } from "../../../domain/seal/Seal.ts"
import { type AgencyProgress, NO_PROGRESS } from "../BetStore.ts"
import {
  awaitedIn,
  awaitsSeal,
  closeProblem,
  dueExclusionsOf,
  exclusionsOf,
  isClosed,
  keptBecause,
  numberOf,
  outdatedIn,
  type ProgressOf
} from "../Closing.ts"
import { lateSeal } from "../DrawPhase.ts"
import {
  BookKept,
  CloseNotMoved,
  type DrawTerms,
  EntriesOutdated,
  type Exclusion,
  type ExclusionProblem,
  ensureSameTerms,
  NotAllFinished,
  NotExcluded,
  NotNumbered,
  NotSealed,
  OtherNumber,
  type StoredDraw
} from "../StoredDraw.ts"
import { orRolledBack, type Postgres } from "./PostgresClient.ts"
import {
  type DrawRow,
  drawColumns,
  integers,
  makeAgencies,
  millis,
  toDraw
} from "./PostgresRows.ts"

interface LockedRow extends DrawRow {
  readonly sealed_by: string | null
  readonly numbered_by: string | null
  readonly recorded_by: string | null
  readonly now: number
}

type AgencyRow = Pick<AgencyProgress, "bets" | "finished" | "excluded"> & {
  readonly agency: Agency
  readonly is_own: boolean
  readonly sha256: string | null
}

/** The steps of a draw that one server takes. */
type Step = "seal" | "number" | "draw"

/** Decides which agencies are excluded at this time. */
type Decide = (
  draw: StoredDraw | undefined,
  progressOf: ProgressOf,
  now: number
) => ReadonlyArray<Exclusion> | ExclusionProblem

const MILLIS = 1000

/** An agency finished while it was about to be excluded. */
class Overtaken extends Data.TaggedError("Overtaken") {}

/** Makes the steps of a draw. `notify` informs the other servers of a change. */
export const makeSteps = (postgres: Postgres, notify: Effect.Effect<void>) => {
  const { drawId, key, sql, write, writeSlowly } = postgres
  const mark = randomUUID()
  /** Identifies this server in the database, for people and for retries after a lost answer. */
  const server = `${hostname()} ${process.pid} ${mark}`

  /**
   * What this server has reported of what it did. It reports each thing once, even if the answer to
   * the call that did it was lost.
   */
  const reported = new Set<Agency | Step>()
  const isNews = (done: Agency | Step): boolean =>
    !reported.has(done) && reported.add(done).has(done)

  /** Returns whether this call did it. Notifies the other servers if so. */
  const report = (what: Step, doneBy: string | null) =>
    doneBy === server && isNews(what) ? Effect.as(notify, true) : Effect.succeed(false)

  const transaction = <A, E>(steps: Effect.Effect<A, E>) => orRolledBack(sql.withTransaction(steps))

  const toTime = (time: number | undefined) => sql`to_timestamp(${time ?? null}::float8 / 1000)`

  /**
   * Locks the draw; undefined if it has not been opened. `now` is the time after the wait for the
   * lock.
   */
  const lock = Effect.map(
    sql<LockedRow>`
      select *, ${millis(sql, "clock_timestamp()")} as now
      from (
        select ${drawColumns(sql)}, sealed_by, numbered_by, recorded_by
        from draws where name = ${drawId} and agencies is not null for no key update
      ) as locked`,
    ([row]) => row && { draw: toDraw(row), ...row }
  )

  /** Reads the agencies of a locked draw: books may finish, but other steps wait for the lock. */
  const readAgencies = Effect.map(
    sql<AgencyRow>`
      select agency, bets, finished, excluded, sha256,
        coalesce(last_write = ${mark}, false) as is_own
      from agencies where draw = ${key}`,
    (rows) => {
      const byAgency = new Map(rows.map((row) => [row.agency, row]))
      return {
        rows,
        progressOf: (agency: Agency) => byAgency.get(agency) ?? NO_PROGRESS,
        sha256Of: (agency: Agency) => byAgency.get(agency)?.sha256 ?? undefined
      }
    }
  )

  const openDraw = Effect.fnUntraced(function* (requested: DrawTerms) {
    const { agencies, closeAt, sealKey, source } = requested
    const number = source._tag === "fixed" ? source.number : null
    const at = source._tag === "drand" ? source.at : {}
    const round = "round" in at ? at.round : null
    const delay = "delaySeconds" in at ? at.delaySeconds : null
    const open = sql`
      insert into draws
        (name, agencies, number_from, fixed_number, draw_round, draw_delay, seal_key,
          close_at, closes_at)
      values (${drawId}, ${integers(agencies)}, ${source._tag}, ${number}, ${round}, ${delay},
        ${sealKey ?? null}, ${toTime(closeAt)}, ${toTime(closeAt)})
      on conflict (name) do update set
        agencies = excluded.agencies, number_from = excluded.number_from,
        fixed_number = excluded.fixed_number, draw_round = excluded.draw_round,
        draw_delay = excluded.draw_delay, seal_key = excluded.seal_key,
        close_at = excluded.close_at, closes_at = excluded.closes_at
      where draws.agencies is null`
    const read = sql<DrawRow>`select ${drawColumns(sql)} from draws where name = ${drawId}`
    const [row] = yield* write(Effect.andThen(open, read))
    const stored = yield* ensureSameTerms(drawId, toDraw(row!), requested)
    yield* write(makeAgencies(postgres, agencies))
    return stored
  })

  const excludeIn = Effect.fnUntraced(
    function* (decide: Decide) {
      const locked = yield* lock
      const { progressOf, rows } = yield* readAgencies
      const found = decide(locked?.draw, progressOf, locked?.now ?? 0)
      if ("why" in found) return yield* new NotExcluded(found)
      const earlier = rows.filter((row) => row.excluded && row.is_own)
      if (found.length === 0) return earlier
      const agencies = found.map(({ agency }) => agency)
      yield* makeAgencies(postgres, agencies)
      // Waits for an append or a finish of another server, and then sees what it did.
      const excluded = yield* sql<Exclusion>`
        update agencies set excluded = true, last_write = ${mark}
        where draw = ${key} and agency = any(${integers(agencies)}) and not finished
        returning agency, bets`
      if (excluded.length < found.length) return yield* new Overtaken()
      return [...earlier, ...excluded].sort((one, other) => one.agency - other.agency)
    },
    transaction,
    Effect.retry({ while: (error): error is Overtaken => error instanceof Overtaken })
  )

  /** One at a time: a second one would report what the first has done but not yet reported. */
  const excluding = Semaphore.makeUnsafe(1)

  const excludeBy = Effect.fnUntraced(
    function* (decide: Decide) {
      const excluded = yield* write(excludeIn(decide))
      const news = excluded.filter(({ agency }) => isNews(agency))
      if (news.length > 0) yield* notify
      return news.map(({ agency, bets }): Exclusion => ({ agency, bets }))
    },
    Effect.uninterruptible,
    excluding.withPermit
  )

  const exclude = (agencies: ReadonlyArray<Agency>) =>
    excludeBy((draw, progressOf) => exclusionsOf(draw, progressOf, agencies))

  // Only a request for certain agencies can be refused.
  const closeIfDue = Effect.catchTag(excludeBy(dueExclusionsOf), "NotExcluded", Effect.die)

  const moveClose = Effect.fnUntraced(function* (closesAt: number | undefined) {
    const move = Effect.gen(function* () {
      const locked = yield* lock
      const problem = closeProblem(locked?.draw, closesAt, locked?.now ?? 0)
      if (problem !== undefined) return yield* new CloseNotMoved(problem)
      yield* sql`update draws set closes_at = ${toTime(closesAt)} where name = ${drawId}`
    })
    yield* write(transaction(move))
    yield* notify
  }, Effect.uninterruptible)

  const recordEntries = Effect.fnUntraced(function* (seal: Seal) {
    const record = Effect.gen(function* () {
      const locked = yield* lock
      if (locked === undefined) return yield* new NotAllFinished({ missing: [] })
      const { draw, now, sealed_by } = locked
      if (isClosed(draw)) return sealed_by
      const late = lateSeal(drawId, seal, now)
      if (late !== undefined) return yield* late
      // Only a discard can change a finished book, and it waits for the lock.
      const { progressOf, sha256Of } = yield* readAgencies
      const missing = awaitedIn(draw, progressOf)
      if (missing.length > 0) return yield* new NotAllFinished({ missing })
      const outdated = outdatedIn(draw, progressOf, sha256Of, seal.agencies)
      if (outdated !== undefined) return yield* new EntriesOutdated({ agency: outdated })
      yield* sql`
        update draws set
          sealed_by = ${server}, sealed_at = ${toTime(MILLIS * seal.sealedAt)},
          entries = ${entriesOf(seal).join("")}
        where name = ${drawId}`
      return server
    })
    return yield* report("seal", yield* write(transaction(record)))
  }, Effect.uninterruptible)

  const recordNote = Effect.fnUntraced(function* (kind: "seal" | "result", note: string) {
    const column = sql(kind === "seal" ? "seal_note" : "result_note")
    yield* write(
      sql`update draws set ${column} = ${note} where name = ${drawId} and ${column} is null`
    )
    yield* notify
  }, Effect.uninterruptible)

  const recordNumber = Effect.fnUntraced(function* (winningNumber: number, beacon?: Beacon) {
    const record = Effect.gen(function* () {
      const locked = yield* lock
      if (locked === undefined) return yield* new NotAllFinished({ missing: [] })
      const { draw, numbered_by } = locked
      const only = numberOf(draw) ?? winningNumber
      if (only !== winningNumber) return yield* new OtherNumber({ winningNumber: only })
      if (numbered_by !== null) return numbered_by
      // Only a discard can reopen a finished book, and it waits for the lock.
      const missing = awaitedIn(draw, (yield* readAgencies).progressOf)
      if (missing.length > 0) return yield* new NotAllFinished({ missing })
      if (awaitsSeal(draw)) return yield* new NotSealed()
      yield* sql`
        update draws set
          winning_number = ${winningNumber}, numbered_by = ${server}, numbered_at = now(),
          beacon_round = ${beacon?.round ?? null}, beacon_signature = ${beacon?.signature ?? null}
        where name = ${drawId}`
      return server
    })
    return yield* report("number", yield* write(transaction(record)))
  }, Effect.uninterruptible)

  const recordDraw = Effect.gen(function* () {
    const record = Effect.gen(function* () {
      const locked = yield* lock
      const winningNumber = locked?.draw.winningNumber
      if (locked === undefined || winningNumber === undefined) return yield* new NotNumbered()
      if (locked.recorded_by !== null) return locked.recorded_by
      yield* sql`
        insert into winners
        select * from bets
        where draw = ${key} and number = ${winningNumber} and not exists (
          select from agencies
          where draw = ${key} and agency = bets.agency and excluded
        )`
      yield* sql`
        update draws set recorded_by = ${server}, recorded_at = now() where name = ${drawId}`
      return server
    })
    return yield* report("draw", yield* writeSlowly(transaction(record)))
  })

  const discardBook = Effect.fnUntraced(
    function* (agency: Agency, act: string) {
      // A shared lock: discards do not wait for each other, but other steps wait for all of them.
      const [draw] = yield* sql<DrawRow>`
        select ${drawColumns(sql)} from draws where name = ${drawId} for share`
      // Waits for the same act on a connection that was lost.
      const begun = yield* sql`
        insert into discards (id, draw, agency, bets) values (${act}, ${key}, ${agency}, 0)
        on conflict do nothing returning id`
      if (begun.length === 0) {
        const [done] = yield* sql<{ bets: number }>`select bets from discards where id = ${act}`
        return done?.bets ?? 0
      }
      const because = keptBecause(draw && toDraw(draw), { excluded: false })
      if (because !== undefined) return yield* new BookKept({ agency, drawId, because })
      const reset = yield* sql`
        update agencies set bets = 0, finished = false, told = false, edition = edition + 1,
          book_bytes = null, sha256 = null, marks = null
        where draw = ${key} and agency = ${agency} and not excluded returning agency`
      if (reset.length === 0) return yield* new BookKept({ agency, drawId, because: "excluded" })
      const [discarded] = yield* sql<{ bets: number }>`
        with deleted as (
          delete from bets where draw = ${key} and agency = ${agency} returning 1
        )
        update discards set bets = (select count(*) from deleted)
        where id = ${act} returning bets`
      return discarded?.bets ?? 0
    },
    sql.withTransaction,
    orRolledBack
  )

  const discard = Effect.fnUntraced(function* (agency: Agency, act: string) {
    const discarding = Effect.andThen(makeAgencies(postgres, [agency]), discardBook(agency, act))
    const bets = yield* writeSlowly(discarding)
    yield* notify
    return bets
  })

  return {
    openDraw,
    exclude,
    closeIfDue,
    moveClose,
    recordEntries,
    recordNote,
    recordNumber,
    recordDraw,
    discard
  }
}
