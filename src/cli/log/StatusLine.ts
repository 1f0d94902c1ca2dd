/** The last line of a terminal, which shows a command's progress below the log. */
import { Context, Effect, Schedule } from "effect"

export interface Terminal {
  /** Whether a line can be redrawn. */
  readonly isTerminal: boolean
  readonly columns: () => number
  readonly write: (text: string) => void
}

const ERASE_LINE = "\r\u001b[2K"
const ERASE_REST = "\u001b[K"

export class StatusLine {
  private readonly terminal: Terminal
  /** Empty if nothing is shown. */
  private drawn = ""

  constructor(terminal: Terminal) {
    this.terminal = terminal
  }

  get isTerminal(): boolean {
    return this.terminal.isTerminal
  }

  /** One column less than the terminal has, so that it does not wrap. */
  get width(): number {
    return Math.max(0, this.terminal.columns() - 1)
  }

  /** Replaces the shown text; cuts the new one to the width. */
  show(text: string): void {
    const fitting = text.slice(0, this.width)
    if (fitting === this.drawn || !this.isTerminal) return
    this.drawn = fitting
    this.terminal.write(`\r${fitting}${ERASE_REST}`)
  }

  /** Writes a line, which ends in LF, above the shown text. */
  writeAbove(line: string): void {
    if (this.drawn === "") this.terminal.write(line)
    else this.terminal.write(`${ERASE_LINE}${line}${this.drawn}`)
  }

  clear(): void {
    if (this.drawn === "") return
    this.drawn = ""
    this.terminal.write(ERASE_LINE)
  }
}

export const CurrentStatusLine = Context.Reference<StatusLine>("lottery/cli/StatusLine", {
  defaultValue: () =>
    new StatusLine({ isTerminal: false, columns: () => 0, write: () => undefined })
})

const DRAW_PERIOD = "100 millis"

/** Redraws a text until the scope closes; `textFor` gets the current width. */
export const keepDrawn = Effect.fnUntraced(function* (
  textFor: (width: number) => Effect.Effect<string>
) {
  const status = yield* CurrentStatusLine
  const draw = Effect.flatMap(
    Effect.suspend(() => textFor(status.width)),
    (text) => Effect.sync(() => status.show(text))
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => status.clear()))
  yield* Effect.forkScoped(Effect.repeat(draw, Schedule.spaced(DRAW_PERIOD)))
})
