/** Files that only their owner may read. Free of libraries, for the store's worker. */
import { closeSync, fchownSync, openSync, statSync } from "node:fs"

/** Further reduced by the umask. */
export const OWNER_ONLY = 0o600

/**
 * Creates an empty file for SQLite, which would let everyone read it. One that root creates belongs
 * to the owner of the file `like`, if that is there. A file that exists is not touched: closing it
 * would drop the locks that this process holds on it.
 */
export const createPrivate = (path: string, like?: string): void => {
  try {
    // Not through a link.
    const file = openSync(path, "wx", OWNER_ONLY)
    try {
      const owner = like === undefined ? undefined : statSync(like, { throwIfNoEntry: false })
      if (owner !== undefined && process.geteuid?.() === 0) fchownSync(file, owner.uid, owner.gid)
    } finally {
      closeSync(file)
    }
  } catch {
    // SQLite opens what is there, or says why it cannot.
  }
}
