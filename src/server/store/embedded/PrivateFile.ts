/**
 * Files that only their owner may read, and users whose files are believed. Imports no library, for
 * the store's worker.
 */
import { closeSync, fchownSync, openSync, type Stats, statSync } from "node:fs"

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

const WRITABLE_BY_OTHERS = 0o022

/** Whether a user can write the store. */
export const mayWrite = (user: number, store: Stats | undefined): boolean =>
  user === 0 ||
  user === process.geteuid?.() ||
  user === store?.uid ||
  // The operator has opened the store to other users, who are not looked up.
  (store !== undefined && (store.mode & WRITABLE_BY_OTHERS) !== 0)

/** Why a file of another user is not believed. */
export const foreign = (user: number): string =>
  `belongs to user ${user}, who cannot write the store; ` +
  "remove it, or give it to the store's owner if you trust it (chown)"
