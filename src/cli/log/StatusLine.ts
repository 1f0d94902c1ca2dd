/** The last line of a terminal, which shows a command's progress below the log. */
import { Context, Effect, Schedule, Scope } from "effect"

export interface Terminal {
  /** Whether a line can be redrawn. */
  readonly isTerminal: boolean
  /** Called only if it is a terminal, because Node's own stream changes a pipe. */
  readonly columns: () => number
  readonly write: (text: string) => void
}

export const ERASE_REST = "\u001b[J"

/** A terminal may become narrower some time before the process learns of it. */
export const [NO_WRAP, WRAP] = ["\u001b[?7l", "\u001b[?7h"]

/** Room for the `^C` that a terminal shows, which would otherwise wrap. */
const RESERVED_COLUMNS = 3

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

  /** Less than the terminal has, so that the text does not wrap. */
  get width(): number {
    return Math.max(0, this.terminal.columns() - RESERVED_COLUMNS)
  }

  /** Replaces the shown text; cuts the new one to the width. */
  show(text: string): void {
    const { drawn, isTerminal } = this
    if (!isTerminal || text.slice(0, this.width) === drawn) return
    this.terminal.write(this.toStart() + this.draw(text) + ERASE_REST)
  }

  /** Writes a line, which ends in LF, above the shown text. */
  writeAbove(line: string): void {
    if (this.drawn === "") this.terminal.write(line)
    else this.terminal.write(this.toStart() + ERASE_REST + line + this.draw(this.drawn))
  }

  clear(): void {
    if (this.drawn === "") return
    this.terminal.write(this.toStart() + ERASE_REST)
    this.drawn = ""
  }

  /** Returns what draws a text at the cursor. */
  private draw(text: string): string {
    this.drawn = text.slice(0, this.width)
    return NO_WRAP + this.drawn + WRAP
  }

  /**
   * Returns what moves the cursor to the start of the shown text. A terminal that has become
   * narrower has wrapped the text into several rows.
   */
  private toStart(): string {
    const rows = Math.ceil(this.drawn.length / Math.max(1, this.terminal.columns()))
    return rows > 1 ? `\u001b[${rows - 1}A\r` : "\r"
  }
}

export const CurrentStatusLine = Context.Reference<StatusLine>("lottery/cli/StatusLine", {
  defaultValue: () =>
    new StatusLine({ isTerminal: false, columns: () => 0, write: () => undefined })
})

const DRAW_PERIOD = "100 millis"

/** Redraws a text on a terminal until the scope closes; `textFor` gets the current width. */
export const keepDrawn = Effect.fnUntraced(function* (
  textFor: (width: number) => Effect.Effect<string>
) {
  const status = yield* CurrentStatusLine
  if (!status.isTerminal) return
  const draw = Effect.flatMap(
    Effect.suspend(() => textFor(status.width)),
    (text) => Effect.sync(() => status.show(text))
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => status.clear()))
  yield* Effect.forkScoped(Effect.repeat(draw, Schedule.spaced(DRAW_PERIOD)))
})

/** Shows a text on a terminal while an effect runs. */
export const whileDrawn = <A, E, R>(text: string, effect: Effect.Effect<A, E, R>) =>
  Effect.scopedWith((scope) =>
    Effect.andThen(
      Scope.provide(
        keepDrawn(() => Effect.succeed(text)),
        scope
      ),
      effect
    )
  )
