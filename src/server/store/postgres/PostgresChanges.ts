/**
 * How a server learns what others changed in its draw: PostgreSQL notifies the servers that listen,
 * and a look every few seconds makes up for lost notifications and for a PostgreSQL without them.
 */
import { type Duration, Effect, PubSub, Queue, Stream } from "effect"
import { ActionLine, logAction } from "../../../domain/ActionLog.ts"
import { type Postgres, reasonOf } from "./PostgresClient.ts"

const CHANNEL = "lottery"
/** How long a lost notification delays the news of a change. */
const LOOKS_EVERY = "2 seconds"
/** If many agencies finish at once, few ticks follow; each of them reads the progress of all. */
const TICKS_AT_MOST_EVERY = "200 millis"

/**
 * Tells every server that the draw has changed. A failure is ignored, since they also look by
 * themselves. It takes a reader's turn because it changes nothing.
 */
export const notify = ({ drawId, read, sql }: Postgres): Effect.Effect<void> =>
  Effect.ignore(read(sql.notify(CHANNEL, drawId)))

/** A stream that ticks after changes of the draw, by other servers and by this one. */
export const make = Effect.fnUntraced(function* (
  { drawId, read, sql }: Postgres,
  looksEvery: Duration.Input = LOOKS_EVERY
) {
  // A late subscriber is given the last tick; a slow one misses all but the last.
  const ticks = yield* PubSub.sliding<void>({ capacity: 1, replay: 1 })
  const tick = PubSub.publish(ticks, undefined)
  let isDeaf = false

  const listen = Effect.gen(function* () {
    const notifications = yield* sql.listen(CHANNEL)
    if (isDeaf) yield* logAction("store_listen", "success")
    isDeaf = false
    // What was notified before is lost.
    yield* tick
    for (;;) {
      const heard = yield* Queue.takeAll(notifications)
      if (heard.some(({ payload }) => payload === drawId)) yield* tick
      yield* Effect.sleep(TICKS_AT_MOST_EVERY)
    }
  }).pipe(
    Effect.scoped,
    Effect.catchTag("SqlError", (error) => {
      if (isDeaf) return Effect.void
      isDeaf = true
      const line = new ActionLine("store_listen", "fail", { error: reasonOf(error) })
      return Effect.logWarning(line)
    })
  )
  yield* listen.pipe(Effect.andThen(Effect.sleep(looksEvery)), Effect.forever, Effect.forkScoped)

  let seen: string | undefined
  const look = Effect.gen(function* () {
    // What differs after every change, at the price of one row.
    const [found] = yield* read(sql<{ readonly seen: string }>`
      select concat_ws(' ', draws.recorded_by,
        count(*) filter (where finished), count(*) filter (where told), sum(edition)) as seen
      from draws join agencies on agencies.draw = draws.id
      where draws.name = ${drawId}
      group by draws.recorded_by`)
    if (found === undefined || found.seen === seen) return
    seen = found.seen
    yield* tick
  })
  yield* Effect.sleep(looksEvery).pipe(
    // If it cannot look now, it does the next time; `listen` has logged why.
    Effect.andThen(Effect.ignore(look)),
    Effect.forever,
    Effect.forkScoped
  )
  return Stream.fromPubSub(ticks)
})
