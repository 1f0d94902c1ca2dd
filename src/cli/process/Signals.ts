/**
 * The signals that stop a command. It listens for them before it loads the rest: in process 1 of a
 * container, the system ignores signals without a listener.
 */

/** SIGHUP means that the terminal was closed, unless a command uses it otherwise. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const
export type Signal = (typeof SIGNALS)[number]

let first: Signal | undefined
let onFirst: (signal: Signal) => void = () => {}
let onHangup: (() => void) | undefined

/** Listens until the exit, so that a second signal does not interrupt the cleanup. */
export const listen = (): void => {
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (signal === "SIGHUP" && onHangup !== undefined) return onHangup()
      if (first !== undefined) return
      first = signal
      onFirst(signal)
    })
  }
}

/** Calls back with the first signal, immediately if there was one. */
export const whenFirst = (callback: (signal: Signal) => void): void => {
  onFirst = callback
  if (first !== undefined) callback(first)
}

/** Calls back on each SIGHUP, which then no longer stops the command. */
export const takeHangups = (callback: () => void): void => {
  onHangup = callback
}
