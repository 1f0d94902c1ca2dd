/**
 * Preloaded into a process by `--import`: its time of day stands still at what the file
 * `TEST_CLOCK_FILE` says, in milliseconds. Timers and monotonic time go on as they are.
 */
import { readFileSync } from "node:fs"

const file = process.env.TEST_CLOCK_FILE

if (file !== undefined) Date.now = () => Number(readFileSync(file, "utf8"))
