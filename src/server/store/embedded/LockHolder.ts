/**
 * Finds the process that holds a store's lock. The pid in the lock file may be that of an earlier
 * holder; on Linux, `/proc/locks` lists the current one, except for processes in other containers.
 */
import { readFile, stat } from "node:fs/promises"
import { Effect } from "effect"
import { canWrite, orUndefined } from "./StoreFiles.ts"

export interface LockHolder {
  readonly pid: number
  /** The user of the process, if that user cannot write the store. */
  readonly intruder: number | undefined
}

/** As in `12: POSIX  ADVISORY  WRITE 4711 fe:00:2163358 1073741825 1073741825`. */
const LOCK = /^\d+: POSIX +\S+ +\S+ (\d+) (\S+) /gm
/** The effective user, after the real one. */
const EFFECTIVE_USER = /^Uid:\s+\d+\s+(\d+)/m

/** The kernel's notation of a device: its major and minor number in hex. */
const deviceText = (device: number): string => {
  const major = (device >>> 8) & 0xfff
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00)
  return [major, minor].map((part) => part.toString(16).padStart(2, "0")).join(":")
}

const userOf = (pid: number) =>
  Effect.map(
    orUndefined(() => readFile(`/proc/${pid}/status`, "utf8")),
    (status) => Number(EFFECTIVE_USER.exec(status ?? "")?.[1] ?? Number.NaN)
  )

/** If there are several holders, prefers one that cannot write the store. */
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
