/** What a screen reader is told of the board by itself: neither figures nor times. */

/** The connection of the board to its server. */
export type Link = "connecting" | "live" | "reconnecting"

export interface Heard {
  readonly link: Link
  readonly phase: string
}

/** Returns what to say after a change; undefined if it is not worth interrupting a reader. */
export const announcement = (before: Heard, after: Heard): string | undefined => {
  if (after.link === "reconnecting") {
    return before.link === "reconnecting" ? undefined : "Connection lost, reconnecting."
  }
  const said = [
    ...(before.link === "reconnecting" && after.link === "live" ? ["Connected again."] : []),
    ...(before.phase === after.phase ? [] : [`The draw: ${after.phase}.`])
  ]
  return said.length > 0 ? said.join(" ") : undefined
}
