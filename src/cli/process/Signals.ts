/**
 * The signals that stop a command, listened to from the first moment on: one that comes while the
 * command is still loading is not lost. As process 1 of a container it would be, for there the
 * system ignores what nobody listens to.
 */

/** The last one comes from a terminal that is closed, unless a command has another use for it. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const
export type Signal = (typeof SIGNALS)[number]

let first: Signal | undefined
let onFirst: (signal: Signal) => void = () => {}
let onHangup: (() => void) | undefined

/**
 * Begins to listen. It never ends, so that a second signal does not cut off what is being closed
 * because of the first.
 */
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

/** Calls back with the first signal, at once where it has come already. */
export const whenFirst = (callback: (signal: Signal) => void): void => {
  onFirst = callback
  if (first !== undefined) callback(first)
}

/** Calls back at each SIGHUP from now on, which stops nothing any more. */
export const takeHangups = (callback: () => void): void => {
  onHangup = callback
}
