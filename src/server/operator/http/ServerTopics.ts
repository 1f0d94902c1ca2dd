/** What a live board is told of the server itself: its state, and what it refuses. */
import { Clock, Effect } from "effect"
import { monotonicMillis } from "../../../domain/MonotonicTime.ts"
import { Places } from "../../admission/Places.ts"
import { Refusals } from "../../admission/Refusals.ts"
import * as CommitMetrics from "../../store/CommitMetrics.ts"
import type * as LiveEvents from "../LiveEvents.ts"
import { MAX_SILENCE_MILLIS } from "../LiveLimits.ts"
import { WholeTopic } from "./LiveTopics.ts"

/** What a server says of itself that never changes. */
export type About = Pick<LiveEvents.ServerEvent, "version" | "publishesSeal">

export const make = Effect.fnUntraced(function* (about: About) {
  const places = yield* Places
  const refusals = yield* Refusals
  const server = new WholeTopic<LiveEvents.ServerEvent>("server")
  const refused = new WholeTopic<LiveEvents.RefusalsEvent>("refusals")
  let lastRefusal = 0
  let told: LiveEvents.ServerEvent | undefined
  let toldMonotonic = 0

  const noteServer = (at: number, monotonic: number, problem: string | null): void => {
    const { identified, queued, unidentified } = places.counts()
    const connections = identified + queued + unidentified
    const seconds = CommitMetrics.medianSeconds()
    const commitMillis = seconds === undefined ? null : 1000 * seconds
    const isSame =
      connections === told?.connections &&
      commitMillis === told.commitMillis &&
      problem === told.problem
    if (isSame && monotonic - toldMonotonic < MAX_SILENCE_MILLIS) return
    toldMonotonic = monotonic
    told = { ...about, connections, commitMillis, problem, at }
    server.set(told)
  }

  const noteRefusals = (): void => {
    const latest = refusals.latest()
    const { id = 0 } = latest.at(-1) ?? {}
    if (id === lastRefusal && refused.version() > 0) return
    lastRefusal = id
    refused.set(
      latest.map(({ agency = null, at, id, position = null, reason }) => {
        return { id, at, agency, reason, position }
      })
    )
  }

  /** Notes the present state, with what keeps the server from its work. */
  const note = Effect.fnUntraced(function* (problem: string | null) {
    noteServer(yield* Clock.currentTimeMillis, yield* monotonicMillis, problem)
    noteRefusals()
  })

  return { server, refused, note, problem: () => told?.problem }
})
