/** The refusals of the server, newest first. */
import { html, nothing, type TemplateResult } from "lit-html"
import { repeat } from "lit-html/directives/repeat.js"
import type { LiveState } from "./LiveState.ts"
import * as Words from "./Words.ts"

type Refusal = LiveState["refusals"][number]

const refusal = ({ agency, at, position, reason }: Refusal, serverMillis: number): TemplateResult =>
  html`<li>
    <time datetime=${new Date(at).toISOString()}>${Words.localTime(at, serverMillis)}</time>
    <span data-field="agency" data-value=${agency ?? nothing}
      >${agency === null ? "unidentified" : `agency ${agency}`}</span
    >
    <span data-field="reason">${reason}</span>
    <span data-field="position" data-value=${position ?? nothing}
      >${position === null ? nothing : `position ${Words.count(position)}`}</span
    >
  </li>`

const list = (
  { aheadMillis, refusals, standing }: LiveState,
  nowMillis: number
): TemplateResult => {
  if (refusals.length === 0) {
    return html`<p class="none">${standing === undefined ? "connecting…" : "none so far"}</p>`
  }
  const newestFirst = [...refusals].reverse()
  return html`<ol>
    ${repeat(
      newestFirst,
      ({ id }) => id,
      (one) => refusal(one, nowMillis + aheadMillis)
    )}
  </ol>`
}

export const refusalSection = (state: LiveState, nowMillis: number): TemplateResult =>
  html`<section id="refusals" aria-labelledby="refusals-heading">
    <h2 id="refusals-heading">Refusals</h2>
    ${list(state, nowMillis)}
  </section>`
