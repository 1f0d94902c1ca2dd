/**
 * Preloaded into a process by `--import`: shifts its time of day by `TEST_CLOCK_SHIFT`, in
 * milliseconds. Timers and monotonic time go on as they are.
 */
const shift = Number(process.env.TEST_CLOCK_SHIFT)
const now = Date.now.bind(Date)

Date.now = () => now() + shift
