/**
 * The last line of a terminal, which shows how far a command is. Lines of the log are written above
 * it, never through it.
 */
import { Context, Effect, Schedule } from "effect"

/** Where the log is written, and whether a line can be drawn there again. */
export interface Terminal {
  readonly isTerminal: boolean
  /** How many characters fit a line, at this moment. */
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

  /** How many characters can be shown; one less than fit, so that the terminal does not wrap. */
  get width(): number {
    return Math.max(0, this.terminal.columns() - 1)
  }

  /** Shows this text in place of what was shown, cut to the terminal's width. */
  show(text: string): void {
    const fitting = text.slice(0, this.width)
    if (fitting === this.drawn || !this.isTerminal) return
    this.drawn = fitting
    this.terminal.write(`\r${fitting}${ERASE_REST}`)
  }

  /** Writes a line, with its LF, above what is shown. */
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

/** The status line that the log is written above; by default one that shows nothing. */
export const CurrentStatusLine = Context.Reference<StatusLine>("lottery/cli/StatusLine", {
  defaultValue: () =>
    new StatusLine({ isTerminal: false, columns: () => 0, write: () => undefined })
})

const DRAW_PERIOD = "100 millis"

/** Keeps a text drawn until the scope closes; it is given the width that there is. */
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
