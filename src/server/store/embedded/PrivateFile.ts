/**
 * Creates files that only their owner may read, and decides which users' files are trusted. Imports
 * no library, because SQLite's worker loads it.
 */
import { closeSync, fchownSync, openSync, type Stats, statSync } from "node:fs"

/** Further reduced by the umask. */
export const OWNER_ONLY = 0o600

/**
 * Creates an empty file for SQLite, which itself would make it readable to every user. As root, the
 * file gets the owner of the file `like`, if that exists. An existing file is not opened: closing
 * it would drop the locks that this process holds on it.
 */
export const createPrivate = (path: string, like?: string): void => {
  try {
    // "wx" does not follow a link.
    const file = openSync(path, "wx", OWNER_ONLY)
    try {
      const owner = like === undefined ? undefined : statSync(like, { throwIfNoEntry: false })
      if (owner !== undefined && process.geteuid?.() === 0) fchownSync(file, owner.uid, owner.gid)
    } finally {
      closeSync(file)
    }
  } catch {
    // SQLite opens the existing file or reports the error.
  }
}

const WRITABLE_BY_OTHERS = 0o022

/** Whether a user can write the store. */
export const mayWrite = (user: number, store: Stats | undefined): boolean =>
  user === 0 ||
  user === process.geteuid?.() ||
  user === store?.uid ||
  // The operator lets other users write the store; which ones is not checked.
  (store !== undefined && (store.mode & WRITABLE_BY_OTHERS) !== 0)

/** Explains why the file of a user is not trusted. */
export const foreign = (user: number): string =>
  `belongs to user ${user}, who cannot write the store; ` +
  "remove it, or give it to the store's owner if you trust it (chown)"
