/** Clocks for processes of a test. */
import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const preload = (module: string) => ({
  NODE_OPTIONS: `--import=${join(import.meta.dirname, module)}`
})

/** The environment of a process whose clock shows a time now. */
export const clockAt = (time: number) => ({
  ...preload("shiftedClock.ts"),
  TEST_CLOCK_SHIFT: `${time - Date.now()}`
})

/** A clock for several processes, whose time of day stands still until it is set. */
export const makeClock = (file: string, time: number) => {
  const set = (now: number): void => {
    // Replaced in one step: a process reads it at any moment.
    writeFileSync(`${file}.new`, String(now))
    renameSync(`${file}.new`, file)
  }
  set(time)
  return { set, env: { ...preload("settableClock.ts"), TEST_CLOCK_FILE: file } }
}
