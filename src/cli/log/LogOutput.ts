/**
 * Writes the log to standard error. It batches lines, because one line can cost a server more than
 * the bets that it reports: a write to a file waits during a data sync. Only a process that is
 * killed loses its last lines.
 *
 * No write waits for the log's reader. Lines for a stalled reader are buffered up to a bound, then
 * dropped. Their number is logged when the reader resumes.
 */
import * as Fs from "node:fs"
import { isatty } from "node:tty"

const STDERR = 2
const stderrStat = Fs.fstatSync(STDERR)
const LF = 10
const PIPE_BUF = 4096
/** How long a line waits for others. */
const GATHERED_MILLIS = 20
const GATHERED_CHARACTERS = 64 * 1024
/** Lines are dropped once this many bytes and characters wait for the reader. */
export const MAX_WAITING = 1024 * 1024
/** The delay after a write for which the reader had no room. */
const RETRY_MILLIS = 4
/** The delay after a failed write: a full disk may have room again. */
const FAILED_RETRY_MILLIS = 1000
/** How long the exit waits for a stalled reader. */
const EXIT_IDLE_MILLIS = 1000
/** How long the exit waits for a slow reader, in total. */
const EXIT_MILLIS = 5000

/**
 * Opens standard error for non-blocking writes. Node's own stream blocks on a stopped terminal and
 * buffers without bound for a full pipe.
 */
const openStderr = (): number => {
  if (stderrStat.isFile()) return STDERR
  const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = Fs.constants
  // After `su` another user owns the terminal; only /dev/tty can be opened.
  for (const path of isatty(STDERR) ? ["/dev/stderr", "/dev/tty"] : ["/dev/stderr"]) {
    try {
      // A new file description, so that other writers to the pipe or terminal stay blocking.
      return Fs.openSync(path, O_WRONLY | O_NONBLOCK | O_NOCTTY)
    } catch {}
  }
  // Sockets and other users' pipes cannot be opened. Node makes this descriptor non-blocking.
  return process.stderr.fd
}

/**
 * The next piece of `rest` to write. A pipe takes up to 4 KiB (PIPE_BUF) atomically: no other
 * process that shares the pipe can tear whole lines of that size.
 */
const pieceOf = (rest: Buffer): Buffer => {
  if (!stderrStat.isFIFO() || rest.length <= PIPE_BUF) return rest
  const end = rest.lastIndexOf(LF, PIPE_BUF - 1)
  return end < 0 ? rest : rest.subarray(0, end + 1)
}

type Written = "all" | "full" | "failed"

const sleepCell = new Int32Array(new SharedArrayBuffer(4))

export class LogOutput {
  readonly isTerminal = isatty(STDERR)
  private readonly descriptor = openStderr()
  private readonly onDropped: (lines: number) => void
  /** Text that no write has tried yet. */
  private gathered = ""
  /** Bytes that the reader has not taken yet. */
  private rest = Buffer.alloc(0)
  private dropped = 0
  private timer: NodeJS.Timeout | undefined

  /** `onDropped` reports the dropped lines; it is called when the reader resumes. */
  constructor(onDropped: (lines: number) => void) {
    this.onDropped = onDropped
    process.on("exit", () => this.flushAtExit())
  }

  /** Writes a text: to a terminal at once, elsewhere soon. */
  write(text: string): void {
    // Once a line is dropped, so are all until the reader resumes: the log has only one gap.
    if (this.dropped > 0 || this.rest.length + this.gathered.length >= MAX_WAITING) {
      if (text.includes("\n")) this.dropped += 1
      return
    }
    this.gathered += text
    const isDue = this.isTerminal || this.gathered.length >= GATHERED_CHARACTERS
    if (isDue && this.rest.length === 0) this.flush()
    else this.flushIn(GATHERED_MILLIS)
  }

  private flushIn(millis: number): void {
    this.timer ??= setTimeout(() => this.flush(), millis)
  }

  private flush(): Written {
    clearTimeout(this.timer)
    this.timer = undefined
    const written = this.writeAll()
    if (written !== "all") this.flushIn(written === "full" ? RETRY_MILLIS : FAILED_RETRY_MILLIS)
    return written
  }

  /** Writes what the reader has room for. A failure cannot be reported and stops nothing. */
  private writeAll(): Written {
    try {
      while (this.refillRest()) {
        this.rest = this.rest.subarray(Fs.writeSync(this.descriptor, pieceOf(this.rest)))
      }
      return "all"
    } catch (error) {
      return error instanceof Error && "code" in error && error.code === "EAGAIN"
        ? "full"
        : "failed"
    }
  }

  /**
   * Refills an empty `rest` from the gathered text, and reports dropped lines once there is none.
   * Returns whether there is anything to write.
   */
  private refillRest(): boolean {
    if (this.rest.length > 0) return true
    const { dropped } = this
    if (this.gathered === "" && dropped > 0) {
      this.dropped = 0
      this.onDropped(dropped)
    }
    this.rest = Buffer.from(this.gathered)
    this.gathered = ""
    return this.rest.length > 0
  }

  private flushAtExit(): void {
    // Usually this writes everything. Otherwise the clock is loaded, which takes a millisecond.
    if (this.flush() !== "full") return
    const start = performance.now()
    let taken = start
    let waiting = Number.POSITIVE_INFINITY
    while (this.flush() === "full") {
      const now = performance.now()
      const left = this.rest.length + this.gathered.length
      if (left < waiting) taken = now
      waiting = left
      if (now - taken > EXIT_IDLE_MILLIS || now - start > EXIT_MILLIS) return
      Atomics.wait(sleepCell, 0, 0, RETRY_MILLIS)
    }
  }
}
