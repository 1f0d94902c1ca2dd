/** The live board of a draw, in the browser. */
import { render } from "lit-html"
import { announcement, type Link } from "./Announcement.ts"
import { connect } from "./Connection.ts"
import { AFTER, NOTHING_KNOWN, phaseOf } from "./LiveState.ts"
import { page, titleOf, type View } from "./Page.ts"
import { RatePlot } from "./RatePlot.ts"

/** Countdowns and relative times move on between two events. */
const TICK_MILLIS = 1000

const find = (id: string): HTMLElement => {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no element ${id}`)
  return found
}

const board = find("board")
let view: Omit<View, "nowMillis"> = {
  heardMillis: undefined,
  state: NOTHING_KNOWN,
  link: "connecting",
  said: "",
  filter: ""
}
let plot: RatePlot | undefined
let isDue = false

const show = (): void => {
  isDue = false
  render(page({ ...view, nowMillis: Date.now() }, onFilter), board)
  document.title = titleOf(view.state)
  plot ??= new RatePlot(find("plot"), find("reading"))
  if (view.state.rates !== undefined) plot.show(view.state.rates)
}

// Not on an animation frame: a tab in the background has none, but its title is read.
const showSoon = (): void => {
  if (!isDue) setTimeout(show)
  isDue = true
}

const update = (changes: Partial<typeof view>): void => {
  const before = { link: view.link, phase: phaseOf(view.state) }
  view = { ...view, ...changes }
  const after = { link: view.link, phase: phaseOf(view.state) }
  view = { ...view, said: announcement(before, after) ?? view.said }
  showSoon()
}

const onFilter = (filter: string): void => update({ filter })

show()
setInterval(showSoon, TICK_MILLIS)
connect("/api/events", {
  event: (name, data) => {
    const heardMillis = Date.now()
    update({ state: AFTER[name](view.state, data, heardMillis), heardMillis })
  },
  link: (link: Link) => update({ link })
})
