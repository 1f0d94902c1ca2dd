/**
 * The signals that stop a command. It listens before it loads, so that an early one is not lost:
 * for process 1 of a container the system ignores a signal without a listener.
 */

/** SIGHUP says that the terminal was closed, unless a command has another use for it. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const
export type Signal = (typeof SIGNALS)[number]

let first: Signal | undefined
let onFirst: (signal: Signal) => void = () => {}
let onHangup: (() => void) | undefined

/** Listens for good, so that a second signal does not cut off what the first one closes. */
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

/** Calls back with the first signal, at once if it has come already. */
export const whenFirst = (callback: (signal: Signal) => void): void => {
  onFirst = callback
  if (first !== undefined) callback(first)
}

/** Calls back at each SIGHUP from now on, which no longer stops the command. */
export const takeHangups = (callback: () => void): void => {
  onHangup = callback
}
