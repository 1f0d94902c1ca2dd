/** The event stream of the server, which is opened again until the page is closed. */
import { MAX_SILENCE_MILLIS } from "../LiveLimits.ts"
import type { Link } from "./Announcement.ts"
import { AFTER, type LiveEvents } from "./LiveState.ts"

/** A stream that is silent for longer is dead: a lost network ends no connection. */
const DEAD_AFTER_MILLIS = 3 * MAX_SILENCE_MILLIS
/** Pause after a server refused the stream, as long as browsers wait by themselves. */
const RETRY_MILLIS = 3000

const NAMES = Object.keys(AFTER) as ReadonlyArray<keyof LiveEvents>

export interface Listener {
  readonly event: <Name extends keyof LiveEvents>(name: Name, data: LiveEvents[Name]) => void
  readonly link: (link: Link) => void
}

export const connect = (url: string, listener: Listener): void => {
  let reopening: number | undefined
  const reopenAfter = (millis: number, source: EventSource): void => {
    clearTimeout(reopening)
    reopening = window.setTimeout(() => {
      source.close()
      listener.link("reconnecting")
      open()
    }, millis)
  }

  const open = (): void => {
    const source = new EventSource(url)
    reopenAfter(DEAD_AFTER_MILLIS, source)
    for (const name of NAMES) {
      source.addEventListener(name, ({ data }) => {
        reopenAfter(DEAD_AFTER_MILLIS, source)
        listener.link("live")
        listener.event(name, JSON.parse(data))
      })
    }
    source.addEventListener("error", () => {
      listener.link("reconnecting")
      // A browser tries again by itself after a broken connection, but not after a refusal.
      if (source.readyState === EventSource.CLOSED) reopenAfter(RETRY_MILLIS, source)
    })
  }

  open()
}
