/**
 * Which process really holds a store's lock. An earlier holder may have written the number in the
 * lock file; Linux tells in `/proc/locks` whose lock it is. Elsewhere, and of a process in another
 * container, nothing is known.
 */
import { readFile, stat } from "node:fs/promises"
import { Effect } from "effect"
import { canWrite, orUndefined } from "./StoreFiles.ts"

export interface LockHolder {
  readonly pid: number
  /** The user that it runs as, if that user cannot write the store. */
  readonly intruder: number | undefined
}

/** As in `12: POSIX  ADVISORY  WRITE 4711 fe:00:2163358 1073741825 1073741825`. */
const LOCK = /^\d+: POSIX +\S+ +\S+ (\d+) (\S+) /gm
/** Real, effective, saved. */
const USER = /^Uid:\s+\d+\s+(\d+)/m

/** As the kernel writes a device: both parts of its number, in hex. */
const deviceText = (device: number): string => {
  const major = (device >>> 8) & 0xfff
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00)
  return [major, minor].map((part) => part.toString(16).padStart(2, "0")).join(":")
}

const userOf = (pid: number) =>
  Effect.map(
    orUndefined(() => readFile(`/proc/${pid}/status`, "utf8")),
    (status) => Number(USER.exec(status ?? "")?.[1] ?? Number.NaN)
  )

/** Prefers, of several holders, one that cannot write the store; undefined if none is known. */
export const lockHolder = Effect.fnUntraced(function* (canonical: string) {
  const lock = yield* orUndefined(() => stat(`${canonical}.lock`))
  const locks = yield* orUndefined(() => readFile("/proc/locks", "utf8"))
  if (lock === undefined || locks === undefined) return undefined
  const file = `${deviceText(lock.dev)}:${lock.ino}`
  let holder: LockHolder | undefined
  for (const [, pid, locked] of locks.matchAll(LOCK)) {
    if (locked !== file) continue
    const user = yield* userOf(Number(pid))
    const isIntruder = !Number.isNaN(user) && !(yield* canWrite(user, canonical))
    if (isIntruder) return { pid: Number(pid), intruder: user } satisfies LockHolder
    holder ??= { pid: Number(pid), intruder: undefined }
  }
  return holder
})
