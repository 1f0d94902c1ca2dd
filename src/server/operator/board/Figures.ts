/** The four figures of the board. */
import { html, nothing, type TemplateResult } from "lit-html"
import { type LiveState, rateOf } from "./LiveState.ts"
import * as Words from "./Words.ts"

interface Figure {
  readonly id: string
  readonly name: string
  readonly value: number | null
  readonly text: string
  readonly note?: string
}

const figure = ({ id, name, note = "", text, value }: Figure): TemplateResult =>
  html`<div>
    <dt>${name}</dt>
    <dd>
      <b id=${id} data-value=${value ?? nothing}>${text}</b>
      <span class="note">${note}</span>
    </dd>
  </div>`

const ofBooks = (bets: number | null, bookBets: number | null): string =>
  bets === null || bookBets === null
    ? ""
    : `${Words.percent(bets, bookBets)}% of ${Words.count(bookBets)}`

export const figures = (state: LiveState): TemplateResult => {
  const { server, standing } = state
  const bets = standing?.total.bets ?? null
  const note = ofBooks(bets, standing?.total.bookBets ?? null)
  const rate = rateOf(state)
  const connections = server?.connections ?? null
  const commit = server?.commitMillis ?? null
  const commitText = commit === null ? Words.UNKNOWN : `${Words.measure(commit)} ms`
  const all: ReadonlyArray<Figure> = [
    { id: "bets", name: "Bets in the draw", value: bets, text: Words.count(bets), note },
    {
      id: "rate",
      name: "Bets per second",
      value: rate,
      text: Words.measure(rate),
      note: "mean of 5–10 s"
    },
    {
      id: "connections",
      name: "Connections",
      value: connections,
      text: Words.count(connections),
      note: "to this server"
    },
    { id: "commit", name: "Median commit", value: commit, text: commitText }
  ]
  return html`<dl class="figures">${all.map(figure)}</dl>`
}
