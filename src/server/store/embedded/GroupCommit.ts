/**
 * Group commit: requests that wait while a commit is on its way to the disk go together in the
 * next one, so that a thousand small agencies cost a few syncs.
 *
 * The first request of a group takes the store's permit for all of them; the others only wait for
 * their own answer. A request is uninterruptible once it is submitted: it runs to its end.
 */
import { Deferred, Effect, type Exit, Metric, type Semaphore } from "effect"

/** How many bytes of requests go in one commit; a single larger request goes alone. */
export const MAX_GROUP_BYTES = 8 * 1024 * 1024

/** How many requests were submitted; many more than `commits` where groups form. */
export const requests = Metric.counter("lottery_store_requests", {
  description: "Requests to write that were submitted to an embedded store",
  incremental: true
})

/** How many commits these requests cost. */
export const commits = Metric.counter("lottery_store_commits", {
  description: "Commits of an embedded store, each of which is synced once",
  incremental: true
})

interface Entry<Request, Answer, Failure> {
  readonly request: Request
  readonly answer: Deferred.Deferred<Answer, Failure>
}

interface Group<Request, Answer, Failure> {
  readonly entries: Array<Entry<Request, Answer, Failure>>
  bytes: number
}

export interface Options<Request, Answer, Failure> {
  /** The store's single permit, also for what must not run beside a commit. */
  readonly permit: Semaphore.Semaphore
  readonly sizeOf: (request: Request) => number
  /** Commits the requests in their order; gives an answer for each, or fails for all of them. */
  readonly commit: (
    requests: ReadonlyArray<Request>
  ) => Effect.Effect<ReadonlyArray<Exit.Exit<Answer, Failure>>, Failure>
  readonly maxGroupBytes?: number
}

/** Makes the function that submits a request and waits until it is committed. */
export const make = <Request, Answer, Failure>(options: Options<Request, Answer, Failure>) => {
  const { permit, sizeOf, commit, maxGroupBytes = MAX_GROUP_BYTES } = options
  type ThisGroup = Group<Request, Answer, Failure>
  /** The group that still takes requests; its first one waits for the permit. */
  let forming: ThisGroup | undefined

  const commitGroup = Effect.fnUntraced(function* (group: ThisGroup) {
    if (forming === group) forming = undefined
    yield* Metric.update(commits, 1)
    const results = yield* commit(group.entries.map((entry) => entry.request))
    yield* Effect.forEach(
      group.entries,
      (entry, index) => Deferred.done(entry.answer, results[index]!),
      { discard: true }
    )
  })

  const lead = (group: ThisGroup) =>
    permit.withPermit(commitGroup(group)).pipe(
      // Whatever ends the leader ends everyone who waits for it: nobody is left hanging.
      Effect.onError((cause) =>
        Effect.forEach(group.entries, (entry) => Deferred.failCause(entry.answer, cause), {
          discard: true
        })
      )
    )

  return (request: Request): Effect.Effect<Answer, Failure> =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const entry: Entry<Request, Answer, Failure> = { request, answer: Deferred.makeUnsafe() }
        const bytes = sizeOf(request)
        const submitted = Metric.update(requests, 1)
        if (forming !== undefined && forming.bytes + bytes <= maxGroupBytes) {
          forming.entries.push(entry)
          forming.bytes += bytes
          return Effect.andThen(submitted, Deferred.await(entry.answer))
        }
        const group: ThisGroup = { entries: [entry], bytes }
        forming = group
        return submitted.pipe(
          Effect.andThen(lead(group)),
          Effect.andThen(Deferred.await(entry.answer))
        )
      })
    )
}
