/** The whole screen of a terminal, which a command redraws until it ends. */
import { isatty } from "node:tty"
import { ERASE_REST, NO_WRAP, WRAP } from "./StatusLine.ts"

interface ScreenTerminal {
  readonly columns: () => number
  readonly rows: () => number
  readonly write: (text: string) => void
}

/** The alternate screen, which leaves what the terminal showed before as it was. */
const [ENTER, LEAVE] = ["\u001b[?1049h\u001b[?25l", "\u001b[?25h\u001b[?1049l"]
const [HOME, ERASE_LINE] = ["\u001b[H", "\u001b[K"]

export class Screen {
  private readonly terminal: ScreenTerminal
  private drawn: string | undefined

  constructor(terminal: ScreenTerminal) {
    this.terminal = terminal
  }

  get columns(): number {
    return this.terminal.columns()
  }

  get rows(): number {
    return this.terminal.rows()
  }

  /** Replaces what is shown; lines that do not fit are cut off. */
  show(lines: ReadonlyArray<string>): void {
    const { columns, drawn, rows, terminal } = this
    // A line is erased first: after it, the cursor may still be on its last character.
    const shown = lines.slice(0, rows).map((line) => ERASE_LINE + line)
    const text = shown.join("\r\n") + (shown.length < rows ? `\r\n${ERASE_REST}` : "")
    // After a change of its size a terminal may show anything.
    const key = `${columns} ${rows} ${text}`
    if (key === drawn) return
    const enter = drawn === undefined ? ENTER : ""
    this.drawn = key
    terminal.write(`${enter}${NO_WRAP}${HOME}${text}${WRAP}`)
  }

  /** Shows again what the terminal showed before. */
  leave(): void {
    if (this.drawn !== undefined) this.terminal.write(LEAVE)
    this.drawn = undefined
  }
}

const STDOUT = 1
/** For a terminal that does not report its size. */
const [DEFAULT_COLUMNS, DEFAULT_ROWS] = [80, 24]

/** The screen of standard output; undefined if it cannot be redrawn. */
export const ofStandardOutput = (): Screen | undefined =>
  isatty(STDOUT) && process.env.TERM !== "dumb"
    ? new Screen({
        columns: () => process.stdout.columns || DEFAULT_COLUMNS,
        rows: () => process.stdout.rows || DEFAULT_ROWS,
        write: (text) => process.stdout.write(text)
      })
    : undefined
