/** The head of the board: the draw, its phase, who has finished, and when the books are closed. */
import { html, nothing, type TemplateResult } from "lit-html"
import type { Link } from "./Announcement.ts"
import { type LiveState, millisToClose, phaseOf } from "./LiveState.ts"
import * as Words from "./Words.ts"

type Part = TemplateResult | typeof nothing

const closing = (state: LiveState, nowMillis: number): Part => {
  const left = millisToClose(state, nowMillis)
  const closesAt = state.standing?.draw?.closesAt
  if (left === undefined || closesAt === undefined || closesAt === null) return nothing
  const text = Words.localTime(closesAt, nowMillis + state.aheadMillis)
  const time = html`<time datetime=${new Date(closesAt).toISOString()}>${text}</time>`
  const words =
    left > 0
      ? html`closes in <b>${Words.duration(left)}</b>, at ${time}`
      : html`was to close at ${time}`
  return html`<li id="close" data-value=${closesAt}>${words}</li>`
}

const facts = (state: LiveState, nowMillis: number): Part => {
  const { draw, total } = state.standing ?? {}
  if (draw === undefined || draw === null || total === undefined) return nothing
  const { agencies, excluded, finished, told } = total
  const { held, winningNumber } = draw
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
    ${closing(state, nowMillis)}
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
      <span id="phase" data-value=${phase}>${phase}</span>
    </h1>
    ${connection(connected, nowMillis)} ${facts(state, nowMillis)}
    <p id="problem" role="alert">${state.server?.problem ?? nothing}</p>
  </header>`
}
