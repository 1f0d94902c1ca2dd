/**
 * Where the log is written: standard error. Lines that come shortly after each other are written
 * together, for a line alone can cost a server more than the bets that it is about: a write to a
 * file waits while the disk is being synced. What goes wrong is written at once, with all before
 * it. Only a process that is killed takes its last lines along.
 */
import * as Fs from "node:fs"

/** How long a line waits for others, in milliseconds. */
const GATHERED_MILLIS = 20
/** With so many characters the lines that wait are written at once. */
const GATHERED_CHARACTERS = 64 * 1024

/**
 * Writes to standard error. Nobody can be told where the log cannot be written, and the work goes
 * on: a full disk under the log does not end a server, and the log when there is room again.
 */
const makeWrite = (): ((text: string) => void) => {
  process.stderr.on("error", () => {})
  if (!Fs.fstatSync(process.stderr.fd).isFile()) return (text) => process.stderr.write(text)
  // A stream would be destroyed by its first failed write.
  return (text) => {
    let rest = Buffer.from(text)
    try {
      // A disk that is nearly full takes a part.
      while (rest.length > 0) rest = rest.subarray(Fs.writeSync(process.stderr.fd, rest))
    } catch {
      return
    }
  }
}

export class LogOutput {
  private readonly writeNow = makeWrite()
  /** Somebody looks on. */
  private readonly isTerminal = process.stderr.isTTY === true
  private gathered = ""
  private timer: NodeJS.Timeout | undefined

  constructor() {
    process.on("exit", () => this.flush())
  }

  /** Writes a text soon, to a terminal at once. */
  write(text: string, isUrgent = false): void {
    this.gathered += text
    if (isUrgent || this.isTerminal || this.gathered.length >= GATHERED_CHARACTERS) {
      this.flush()
    } else {
      this.timer ??= setTimeout(() => this.flush(), GATHERED_MILLIS)
    }
  }

  private flush(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    const text = this.gathered
    this.gathered = ""
    if (text !== "") this.writeNow(text)
  }
}
