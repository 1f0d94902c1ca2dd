/**
 * Reports changes that other servers make to the draw. Servers listen for PostgreSQL notifications,
 * and poll every few seconds in case notifications are lost or unavailable.
 */
import { type Duration, Effect, PubSub, Queue, Stream } from "effect"
import { ActionLine, logAction } from "../../../domain/ActionLog.ts"
import { type Postgres, reasonOf } from "./PostgresClient.ts"

/** Not the channel of servers of versions 1 and 2, which a migration recognizes by it. */
const CHANNEL = "lottery_changes"
const POLL_INTERVAL = "2 seconds"
/** Limits the cost when many agencies finish at once: each tick reads the progress of all. */
const MIN_TICK_INTERVAL = "200 millis"

/**
 * Notifies every server that the draw has changed. Ignores a failure, because servers also poll.
 * Runs as a read because it changes nothing.
 */
export const notify = ({ drawId, read, sql }: Postgres): Effect.Effect<void> =>
  Effect.ignore(read(sql.notify(CHANNEL, drawId)))

/** Makes a stream that ticks after changes to the draw, by other servers or this one. */
export const make = Effect.fnUntraced(function* (
  { drawId, read, sql }: Postgres,
  pollInterval: Duration.Input = POLL_INTERVAL
) {
  // A late subscriber gets the last tick; a slow one gets only the last.
  const ticks = yield* PubSub.sliding<void>({ capacity: 1, replay: 1 })
  const tick = PubSub.publish(ticks, undefined)
  let hasFailed = false

  const listen = Effect.gen(function* () {
    const notifications = yield* sql.listen(CHANNEL)
    if (hasFailed) yield* logAction("store_listen", "success")
    hasFailed = false
    // Earlier notifications are lost.
    yield* tick
    for (;;) {
      const received = yield* Queue.takeAll(notifications)
      if (received.some(({ payload }) => payload === drawId)) yield* tick
      yield* Effect.sleep(MIN_TICK_INTERVAL)
    }
  }).pipe(
    Effect.scoped,
    Effect.catchTag("SqlError", (error) => {
      if (hasFailed) return Effect.void
      hasFailed = true
      const line = new ActionLine("store_listen", "fail", { error: reasonOf(error) })
      return Effect.logWarning(line)
    })
  )
  yield* listen.pipe(Effect.andThen(Effect.sleep(pollInterval)), Effect.forever, Effect.forkScoped)

  let seen: string | undefined
  const poll = Effect.gen(function* () {
    // This value differs after every change and costs only one row.
    const [found] = yield* read(sql<{ readonly seen: string }>`
      select concat_ws(' ', recorded_by, numbered_by, sealed_by, seal_note is null,
        result_note is null, closes_at, sum(edition),
        count(*) filter (where finished), count(*) filter (where excluded),
        count(*) filter (where told)) as seen
      from draws join agencies on agencies.draw = draws.id
      where draws.name = ${drawId}
      group by draws.id`)
    if (found === undefined || found.seen === seen) return
    seen = found.seen
    yield* tick
  })
  yield* Effect.sleep(pollInterval).pipe(
    // A failed poll is retried at the next interval; `listen` has logged the reason.
    Effect.andThen(Effect.ignore(poll)),
    Effect.forever,
    Effect.forkScoped
  )
  return Stream.fromPubSub(ticks)
})
