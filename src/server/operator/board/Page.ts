/** The page of the board, as a template of what is known. */
import { html, nothing, type TemplateResult } from "lit-html"
import { agencySection, type OnFilter } from "./AgencyTable.ts"
import { type Connected, drawHead } from "./DrawHead.ts"
import { figures } from "./Figures.ts"
import { highestRate, type LiveState, phaseOf } from "./LiveState.ts"
import { refusalSection } from "./Refusals.ts"
import * as Words from "./Words.ts"

export interface View extends Connected {
  readonly state: LiveState
  /** What a screen reader was told last. */
  readonly said: string
  readonly filter: string
  readonly nowMillis: number
}

const plotSection = (state: LiveState): TemplateResult => {
  const highest = Words.measure(highestRate(state))
  const text = `highest ${highest} per second in the last ten minutes`
  return html`<section class="rates" aria-labelledby="rates-heading">
    <h2 id="rates-heading">Bets per second</h2>
    <p id="rates-text">${state.rates === undefined ? nothing : text}</p>
    <div aria-hidden="true">
      <p id="reading"></p>
      <div id="plot"></div>
    </div>
  </section>`
}

export const page = (view: View, onFilter: OnFilter): TemplateResult => {
  const { filter, nowMillis, said, state } = view
  const { server } = state
  return html`${drawHead(state, view, nowMillis)}
    <p role="status" class="heard">${said}</p>
    ${figures(state)} ${plotSection(state)} ${agencySection(state, filter, nowMillis, onFilter)}
    ${refusalSection(state, nowMillis)}
    <footer>${server === undefined ? nothing : `lottery ${server.version}`}</footer>`
}

/** The title of the document, which tells the phase in a tab that is not looked at. */
export const titleOf = (state: LiveState): string => {
  const { standing } = state
  const phase = phaseOf(state)
  if (standing === undefined || standing.draw === null) return `${phase} · lottery`
  const { agencies, excluded, finished } = standing.total
  return `${phase} ${finished}/${agencies - excluded} · ${standing.draw.id}`
}
