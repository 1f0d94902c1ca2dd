/** The real disk with one failing operation, after which all others can fail too. */
import { Effect } from "effect"
import { type Disk, DiskError } from "../../../src/server/store/embedded/Disk.ts"

export interface FailingDisk {
  readonly disk: Disk
  /** Makes the n-th operation from now fail, counted from 1. */
  readonly failAt: (operation: number) => void
  /** Ends the failures. */
  readonly heal: () => void
  /** Whether an operation has failed since `failAt`. */
  readonly hasFailed: () => boolean
  /** The operation that failed first. */
  readonly failed: () => DiskError["operation"] | undefined
}

/** With `forEver`, all operations after the first failure fail too. */
export const make = (node: Disk, forEver: boolean): FailingDisk => {
  let left = Number.POSITIVE_INFINITY
  let failed: DiskError["operation"] | undefined

  const fails = (operation: DiskError["operation"]): boolean => {
    left--
    const now = forEver ? left <= 0 : left === 0
    if (now) failed ??= operation
    return now
  }

  const guard = <A>(operation: DiskError["operation"], run: Effect.Effect<A, DiskError>) =>
    Effect.suspend(() =>
      fails(operation)
        ? Effect.fail(new DiskError({ operation, code: "EIO", reason: `no ${operation}` }))
        : run
    )

  const disk: Disk = {
    open: (path, flags) => guard("open", node.open(path, flags)),
    close: node.close,
    size: (file) => guard("read", node.size(file)),
    read: (file, into, position) => guard("read", node.read(file, into, position)),
    // A failing write writes the first half.
    write: (file, bytes, position) =>
      Effect.suspend(() =>
        left === 1
          ? Effect.andThen(
              node.write(file, bytes.subarray(0, bytes.length / 2), position),
              guard("write", Effect.never)
            )
          : guard("write", node.write(file, bytes, position))
      ),
    copyAccess: (from, to) => guard("open", node.copyAccess(from, to)),
    isAt: (file, path) => guard("read", node.isAt(file, path)),
    truncate: (file, length) => guard("cut", node.truncate(file, length)),
    syncData: (file) => guard("sync", node.syncData(file)),
    sync: (file) => guard("sync", node.sync(file)),
    rename: (from, to) => guard("rename", node.rename(from, to)),
    remove: (path) => guard("remove", node.remove(path))
  }
  return {
    disk,
    failAt: (operation) => {
      left = operation
      failed = undefined
    },
    heal: () => {
      left = Number.POSITIVE_INFINITY
    },
    hasFailed: () => failed !== undefined,
    failed: () => failed
  }
}
