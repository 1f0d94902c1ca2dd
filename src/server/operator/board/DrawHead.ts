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
  const time = html`<time datetime=${new Date(closesAt).toISOString()}
    >${Words.localTime(closesAt, nowMillis + state.aheadMillis)}</time
  >`
  return html`<p id="close" class="close" data-value=${closesAt}>
    ${left > 0 ? html`closes in <b>${Words.duration(left)}</b>, at ${time}` : html`was to close at ${time}`}
  </p>`
}

const agencies = ({ standing }: LiveState): Part => {
  if (standing === undefined || standing.draw === null) return nothing
  const { agencies, excluded, finished, told } = standing.total
  return html`<p class="facts">
    <span id="finished" data-value=${finished}>${Words.finished(finished, agencies)}</span>
    ${
      excluded > 0
        ? html`<span id="excluded" data-value=${excluded}>${Words.count(excluded)} excluded</span>`
        : nothing
    }
    ${
      standing.draw.held
        ? html`<span id="winners" data-value=${told}
            >winners sent to ${Words.count(told)} of ${Words.count(finished)}</span
          >`
        : nothing
    }
  </p>`
}

const number = ({ standing }: LiveState): Part => {
  const winningNumber = standing?.draw?.winningNumber ?? null
  if (winningNumber === null) return nothing
  return html`<p class="number">
    winning number <b id="number" data-value=${winningNumber}>${winningNumber}</b>
  </p>`
}

export const drawHead = (state: LiveState, link: Link, nowMillis: number): TemplateResult => {
  const phase = phaseOf(state)
  const id = state.standing?.draw?.id
  return html`<header>
    <h1>
      <span class="draw">${id === undefined ? "Lottery" : html`Draw <span id="draw">${id}</span>`}</span>
      <span id="phase" data-value=${phase}>${phase}</span>
    </h1>
    <p id="live" data-value=${link}>${link}</p>
    ${agencies(state)} ${number(state)} ${closing(state, nowMillis)}
  </header>`
}
