/** The table of the agencies, with its filter. */
import { html, nothing, type TemplateResult } from "lit-html"
import { repeat } from "lit-html/directives/repeat.js"
import type { AgencyStanding } from "../DrawStanding.ts"
import { type AgencyList, list, shownText, stateOf } from "./AgencyList.ts"
import type { LiveState } from "./LiveState.ts"
import * as Words from "./Words.ts"

const progress = ({ agency, bets, bookBets, excluded }: AgencyStanding): TemplateResult => {
  if (excluded) return html`<td role="cell" data-field="progress">not counted</td>`
  if (bookBets === null) return html`<td role="cell" data-field="progress">length unknown</td>`
  const percent = Words.percent(bets, bookBets)
  return html`<td role="cell" data-field="progress" data-value=${percent}>
    <progress max="100" .value=${percent} aria-label=${`Progress of agency ${agency}`}></progress
    ><span><b>${percent}%</b> of ${Words.count(bookBets)}</span>
  </td>`
}

// A style sheet that changes the display of rows takes their roles from them in some browsers.
const row = (one: AgencyStanding, serverMillis: number): TemplateResult => {
  const { agency, bets, lastActivity, perSecond } = one
  const state = stateOf(one)
  const last = lastActivity === null ? Words.UNKNOWN : Words.ago(serverMillis - lastActivity)
  return html`<tr role="row" data-agency=${agency} data-state=${state}>
    <th role="rowheader" scope="row">${agency}</th>
    <td role="cell" data-field="state">${state}</td>
    <td role="cell" data-field="bets" data-value=${bets}>${Words.count(bets)}</td>
    ${progress(one)}
    <td role="cell" data-field="rate" data-value=${perSecond ?? nothing}
      >${Words.rate(perSecond)}</td
    >
    <td role="cell" data-field="last" data-value=${lastActivity ?? nothing}>${last}</td>
  </tr>`
}

const HEADS = [
  ["agency", "Agency"],
  ["state", "State"],
  ["bets", "Bets"],
  ["progress", "Progress"],
  ["rate", "Rate"],
  ["last", "Last batch"]
] as const

const table = ({ rows }: AgencyList, serverMillis: number): TemplateResult =>
  html`<table role="table" class="agencies">
    <caption>Unfinished agencies first, then by number</caption>
    <thead role="rowgroup">
      <tr role="row">
        ${HEADS.map(
          ([field, name]) =>
            html`<th role="columnheader" scope="col" data-field=${field}>${name}</th>`
        )}
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${repeat(
        rows,
        ({ agency }) => agency,
        (one) => row(one, serverMillis)
      )}
    </tbody>
  </table>`

const filterBox = (found: AgencyList, filter: string, onFilter: OnFilter): TemplateResult =>
  html`<div class="filter">
    <label for="filter">Filter by number or state</label>
    <input
      id="filter"
      type="search"
      autocomplete="off"
      spellcheck="false"
      aria-describedby="shown"
      .value=${filter}
      @input=${({ currentTarget }: InputEvent) => {
        if (currentTarget instanceof HTMLInputElement) onFilter(currentTarget.value)
      }}
    >
    <p id="shown">${shownText(found)}</p>
  </div>`

export type OnFilter = (filter: string) => void

const agencies = (
  { agencies, aheadMillis, standing }: LiveState,
  filter: string,
  nowMillis: number,
  onFilter: OnFilter
): TemplateResult => {
  if (standing === undefined) return html`<p class="none">connecting…</p>`
  if (!standing.listed) {
    return html`<p class="none">This draw has too many agencies to list.</p>`
  }
  if (agencies.size === 0) return html`<p class="none">none yet</p>`
  const found = list(agencies, filter)
  return html`${found.hasFilter ? filterBox(found, filter, onFilter) : nothing}
  ${table(found, nowMillis + aheadMillis)}`
}

export const agencySection = (...view: Parameters<typeof agencies>): TemplateResult =>
  html`<section aria-labelledby="agencies-heading">
    <h2 id="agencies-heading">Agencies</h2>
    ${agencies(...view)}
  </section>`
