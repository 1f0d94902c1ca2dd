/**
 * A disk in memory that distinguishes written from synced data. A power cut loses unsynced data
 * except for the part in `kept`. A kill keeps it, still unsynced. Each process has its own handle.
 * After either event the handle never answers again.
 */
import { Effect } from "effect"
import { type Disk, DiskError } from "../../../src/server/store/embedded/Disk.ts"

interface File {
  /** The content that readers see. */
  bytes: Uint8Array
  /** The content that survives a power cut. */
  synced: Uint8Array
}

/**
 * The unsynced data that survives a power cut: its first part, as a fraction from 0 to 1, or its
 * second half after zeros, because a disk writes in any order.
 */
export type Kept = number | "end"

export interface CrashDisk {
  /** Returns a handle for a process. */
  readonly attach: () => Disk
  /** Cuts the power. */
  readonly cut: (kept: Kept) => void
  /** Kills the processes. */
  readonly kill: () => void
  /** Stops answering after this many more operations. */
  readonly stopAfter: (operations: number) => void
  readonly hasStopped: () => boolean
  /** The number of operations so far. */
  readonly operations: () => number
}

const NOTHING = new Uint8Array(0)

/** With `ignoreSyncs`, a sync succeeds without doing anything. */
export const make = (folder: string, ignoreSyncs = false): CrashDisk => {
  let names = new Map<string, File>()
  let syncedNames = new Map<string, File>()
  const folderFile: File = { bytes: NOTHING, synced: NOTHING }
  let epoch = 0
  let operations = 0
  let left = Number.POSITIVE_INFINITY

  const attach = (): Disk => {
    const mine = epoch
    const opened = new Map<number, File>()
    let lastDescriptor = 0

    const operate = <A>(run: () => A | DiskError): Effect.Effect<A, DiskError> =>
      Effect.suspend((): Effect.Effect<A, DiskError> => {
        if (mine !== epoch || left <= 0) return Effect.never
        operations++
        left--
        const result = run()
        // As with a real disk, other fibers run meanwhile.
        const answer = result instanceof DiskError ? Effect.fail(result) : Effect.succeed(result)
        return Effect.andThen(Effect.yieldNow, answer)
      })

    const missing = (path: string) =>
      new DiskError({ operation: "open", code: "ENOENT", reason: `no such file: ${path}` })

    const find = (path: string, flags: string): File | undefined => {
      if (path === folder) return folderFile
      const found = names.get(path)
      if (flags.startsWith("r")) return found
      if (found !== undefined && flags.includes("x")) return undefined
      const file = found ?? { bytes: NOTHING, synced: NOTHING }
      if (flags.startsWith("w")) file.bytes = NOTHING
      names.set(path, file)
      return file
    }

    const sync = (descriptor: number) =>
      operate(() => {
        const file = opened.get(descriptor)!
        if (!ignoreSyncs && file === folderFile) syncedNames = new Map(names)
        else if (!ignoreSyncs) file.synced = file.bytes
      })

    return {
      open: (path, flags) =>
        operate(() => {
          const file = find(path, flags)
          if (file === undefined) return missing(path)
          opened.set(++lastDescriptor, file)
          return lastDescriptor
        }),
      close: (file) => operate(() => void opened.delete(file)),
      size: (file) => operate(() => opened.get(file)!.bytes.length),
      read: (file, into, position) =>
        operate(() => {
          const part = opened.get(file)!.bytes.subarray(position, position + into.length)
          into.set(part)
          return part.length
        }),
      write: (file, bytes, position) =>
        operate(() => {
          const at = opened.get(file)!
          const grown = new Uint8Array(Math.max(at.bytes.length, position + bytes.length))
          grown.set(at.bytes)
          grown.set(bytes, position)
          at.bytes = grown
          return bytes.length
        }),
      copyAccess: () => operate(() => undefined),
      isAt: () => operate(() => true),
      truncate: (file, length) =>
        operate(() => {
          const at = opened.get(file)!
          at.bytes = at.bytes.slice(0, length)
        }),
      syncData: sync,
      sync,
      rename: (from, to) =>
        operate(() => {
          const file = names.get(from)
          if (file === undefined) return missing(from)
          names.delete(from)
          names.set(to, file)
          return undefined
        }),
      remove: (path) => operate(() => void names.delete(path))
    }
  }

  /** Returns what survives of a file: the synced content and part of what was appended to it. */
  const afterCut = (file: File, kept: Kept): File => {
    const { length } = file.synced
    const grown = file.bytes.length - length
    const isAppended =
      grown > 0 && Buffer.compare(file.synced, file.bytes.subarray(0, length)) === 0
    if (!isAppended) return { bytes: file.synced, synced: file.synced }
    const part = length + Math.round(grown * (kept === "end" ? 0.5 : kept))
    const bytes =
      kept === "end" ? file.bytes.slice().fill(0, length, part) : file.bytes.slice(0, part)
    return { bytes, synced: bytes }
  }

  const kill = () => {
    epoch++
    left = Number.POSITIVE_INFINITY
  }

  return {
    attach,
    kill,
    cut: (kept) => {
      kill()
      // The disk may have written a new name without a sync.
      const survivors = kept === "end" || kept > 0.5 ? names : syncedNames
      const files = new Map<File, File>()
      names = new Map(
        [...survivors].map(([path, file]) => {
          const after = files.get(file) ?? afterCut(file, kept)
          files.set(file, after)
          return [path, after]
        })
      )
      syncedNames = new Map(names)
    },
    stopAfter: (count) => {
      left = count
    },
    hasStopped: () => left <= 0,
    operations: () => operations
  }
}
