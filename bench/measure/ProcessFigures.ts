/** Reads figures of a process from Linux's `/proc`. */
import { readFileSync } from "node:fs"

const TICKS_PER_SECOND = 100

/** The processor time of a process and its ended children, in seconds; 0 if it has ended. */
export const cpuSeconds = (pid: number): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND
  } catch {
    return 0
  }
}

const memory = (pid: number, name: string): number => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const [, kib] = new RegExp(`${name}:\\s+(\\d+)`).exec(status) ?? []
  return Number(kib) * 1024
}

/** Current resident memory, in bytes. */
export const residentBytes = (pid: number): number => memory(pid, "VmRSS")

/** Maximum resident memory since the start, in bytes. */
export const peakBytes = (pid: number): number => memory(pid, "VmHWM")

export const residentMib = (pid: number): number => Math.round(residentBytes(pid) / 2 ** 20)

export const median = (all: ReadonlyArray<number>): number =>
  all.toSorted((one, other) => one - other)[Math.floor(all.length / 2)]!
