/**
 * Writes the log to standard error. Lines in quick succession are written together, because one
 * line alone can cost a server more than the bets that it is about: a write to a file waits while
 * the disk is being synced. Only a process that is killed loses its last lines.
 *
 * No write waits for the log's reader. What a stalled reader does not take is kept up to a bound;
 * further lines are dropped, and their count is logged once it takes lines again.
 */
import * as Fs from "node:fs"
import { isatty } from "node:tty"

const STDERR = 2
const stderrStat = Fs.fstatSync(STDERR)
const LF = 10
const PIPE_BUF = 4096
/** How long a line waits for others, in milliseconds. */
const GATHERED_MILLIS = 20
/** Once this many characters wait, they are written at once. */
const GATHERED_CHARACTERS = 64 * 1024
/** Bytes and characters that wait for the reader before lines are dropped. */
export const MAX_WAITING = 1024 * 1024
/** From a write that the reader had no room for to the next, in milliseconds. */
const RETRY_MILLIS = 4
/** From a write that failed to the next, in milliseconds: a full disk may have room again. */
const FAILED_RETRY_MILLIS = 1000
/** How long the exit waits for a reader that takes nothing, in milliseconds. */
const EXIT_IDLE_MILLIS = 1000
/** How long it waits in all for a slow reader, in milliseconds. */
const EXIT_MILLIS = 5000

/**
 * A descriptor of standard error whose writes do not wait. Node's own stream waits for a stopped
 * terminal, and buffers without a bound what a pipe does not take.
 */
const openStderr = (): number => {
  if (stderrStat.isFile()) return STDERR
  const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = Fs.constants
  // After `su` the terminal is another user's, and can be opened only as this session's.
  for (const path of isatty(STDERR) ? ["/dev/stderr", "/dev/tty"] : ["/dev/stderr"]) {
    try {
      // A new description: other processes that write to the same pipe or terminal still block.
      return Fs.openSync(path, O_WRONLY | O_NONBLOCK | O_NOCTTY)
    } catch {}
  }
  // A socket cannot be opened, nor another user's pipe: Node makes the descriptor non-blocking.
  return process.stderr.fd
}

/**
 * How much of `rest` the next write is given. A pipe takes at most 4 KiB (PIPE_BUF) at once or not
 * at all: whole lines within that are never torn by another process that shares the pipe.
 */
const pieceOf = (rest: Buffer): Buffer => {
  if (!stderrStat.isFIFO() || rest.length <= PIPE_BUF) return rest
  const end = rest.lastIndexOf(LF, PIPE_BUF - 1)
  return end < 0 ? rest : rest.subarray(0, end + 1)
}

/** After "full" and "failed" something is left to write. */
type Written = "all" | "full" | "failed"

const sleepCell = new Int32Array(new SharedArrayBuffer(4))

export class LogOutput {
  readonly isTerminal = isatty(STDERR)
  private readonly descriptor = openStderr()
  private readonly onDropped: (lines: number) => void
  /** Not yet tried to be written. */
  private gathered = ""
  /** Not yet taken by the reader. */
  private rest = Buffer.alloc(0)
  private dropped = 0
  private timer: NodeJS.Timeout | undefined

  /** `onDropped` is called when the reader takes lines again, to write how many it missed. */
  constructor(onDropped: (lines: number) => void) {
    this.onDropped = onDropped
    process.on("exit", () => this.flushAtExit())
  }

  /** Writes a text soon, to a terminal at once. */
  write(text: string): void {
    // From the first line that is dropped on all are, so that they are missing in one place.
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

  /** Writes what the reader has room for. A failure cannot be reported; the work goes on. */
  private writeAll(): Written {
    try {
      while (this.hasRest()) {
        this.rest = this.rest.subarray(Fs.writeSync(this.descriptor, pieceOf(this.rest)))
      }
      return "all"
    } catch (error) {
      return error instanceof Error && "code" in error && error.code === "EAGAIN"
        ? "full"
        : "failed"
    }
  }

  /** Whether something is left to write, which is in `rest` then. */
  private hasRest(): boolean {
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
