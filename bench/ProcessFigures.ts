/** What Linux says of a process, and the middle of several figures. */
import { readFileSync } from "node:fs"

/** Linux counts processor time in hundredths of a second. */
const TICKS_PER_SECOND = 100

/** Processor time that a process has taken, in seconds; with that of children that have ended. */
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

/** The memory that a process has resident now, in bytes. */
export const residentBytes = (pid: number): number => memory(pid, "VmRSS")

/** The most that it had resident since it started, in bytes. */
export const peakBytes = (pid: number): number => memory(pid, "VmHWM")

/** As `residentBytes`, in MiB. */
export const residentMib = (pid: number): number => Math.round(residentBytes(pid) / 2 ** 20)

export const median = (all: ReadonlyArray<number>): number =>
  all.toSorted((one, other) => one - other)[Math.floor(all.length / 2)]!
