/** The head of the board: the draw, its phase, who has finished, and what it waits for. */
import { html, nothing, type TemplateResult } from "lit-html"
import type { Link } from "./Announcement.ts"
import {
  awaitedRound,
  type LiveState,
  millisToClose,
  phaseOf,
  problemOf,
  publishedOf
} from "./LiveState.ts"
import * as Words from "./Words.ts"

type Part = TemplateResult | typeof nothing

/** A time of the server. */
const timeOf = (at: number, { aheadMillis }: LiveState, nowMillis: number): TemplateResult => {
  const text = Words.localTime(at, nowMillis + aheadMillis)
  return html`<time datetime=${new Date(at).toISOString()}>${text}</time>`
}

const closing = (state: LiveState, nowMillis: number): Part => {
  const left = millisToClose(state, nowMillis)
  const closesAt = state.standing?.draw?.closesAt
  if (left === undefined || closesAt === undefined || closesAt === null) return nothing
  const time = timeOf(closesAt, state, nowMillis)
  const words =
    left > 0
      ? html`closes in <b>${Words.duration(left)}</b>, at ${time}`
      : html`was to close at ${time}`
  return html`<li id="close" data-value=${closesAt}>${words}</li>`
}

const waiting = (state: LiveState, nowMillis: number): Part => {
  const awaited = awaitedRound(state, nowMillis)
  // The heading of a draw that is not sealed says the same.
  if (awaited === undefined) {
    return phaseOf(state) === "sealed" ? html`<li>waiting for the number</li>` : nothing
  }
  const { at, millis, round } = awaited
  const time = timeOf(at, state, nowMillis)
  const words =
    millis > 0
      ? html`waiting for round ${round}, due in <b>${Words.duration(millis)}</b>, at ${time}`
      : html`waiting for round ${round}, due since ${time}`
  return html`<li id="round" data-value=${round}>${words}</li>`
}

const sealing = (state: LiveState, nowMillis: number): Part => {
  const sealedAt = state.standing?.draw?.sealedAt
  if (sealedAt === undefined || sealedAt === null) return nothing
  return html`<li id="sealed" data-value=${sealedAt}>
    sealed at ${timeOf(sealedAt, state, nowMillis)}
  </li>`
}

const published = (state: LiveState, id: string): ReadonlyArray<TemplateResult> =>
  publishedOf(state).map(
    (name) =>
      html`<li><a href="/draw/${name}" download="${id}.${name}">${name} of the draw</a></li>`
  )

const facts = (state: LiveState, nowMillis: number): Part => {
  const { draw, total } = state.standing ?? {}
  if (draw === undefined || draw === null || total === undefined) return nothing
  const { agencies, excluded, finished, told } = total
  const { held, id, winningNumber } = draw
  return html`<ul class="facts">
    <li id="finished" data-value=${finished}>${Words.finished(finished, agencies - excluded)}</li>
    ${
      excluded > 0
        ? html`<li id="excluded" data-value=${excluded}>${Words.count(excluded)} excluded</li>`
        : nothing
    }
    ${
      held
        ? html`<li id="winners" data-value=${told}>
            winners sent to ${Words.count(told)} of ${Words.count(finished)}
          </li>`
        : nothing
    }
    ${
      winningNumber === null
        ? nothing
        : html`<li>
            winning number <b id="number" data-value=${winningNumber}>${winningNumber}</b>
          </li>`
    }
    ${closing(state, nowMillis)} ${sealing(state, nowMillis)} ${waiting(state, nowMillis)}
    ${published(state, id)}
  </ul>`
}

/** What the board knows of its connection. */
export interface Connected {
  readonly link: Link
  /** When the last event came; undefined before the first. */
  readonly heardMillis: number | undefined
}

const connection = ({ heardMillis, link }: Connected, nowMillis: number): TemplateResult => {
  const isOld = link === "reconnecting" && heardMillis !== undefined
  const text = isOld ? `as of ${Words.localTime(heardMillis, nowMillis)}` : nothing
  return html`<div class="connection">
    <p id="live" data-value=${link}>${link}</p>
    <p id="as-of">${text}</p>
  </div>`
}

export const drawHead = (
  state: LiveState,
  connected: Connected,
  nowMillis: number
): TemplateResult => {
  const phase = phaseOf(state)
  const id = state.standing?.draw?.id
  const name = id === undefined ? "Lottery" : html`Draw <span id="draw">${id}</span>`
  return html`<header>
    <h1>
      <span class="draw">${name}</span>
      <span id="phase" data-value=${phase}><span>${phase}</span></span>
    </h1>
    ${connection(connected, nowMillis)} ${facts(state, nowMillis)}
    <p id="problem" role="alert">${problemOf(state) ?? nothing}</p>
  </header>`
}
