/** The real disk, of which a numbered operation fails, or after which nothing works any more. */
import { Effect } from "effect"
import { type Disk, DiskError } from "../../../src/server/store/embedded/Disk.ts"

export interface FailingDisk {
  readonly disk: Disk
  /** Begins to count: the operation with this number, from 1 on, is the first that fails. */
  readonly failAt: (operation: number) => void
  /** Lets everything work again. */
  readonly heal: () => void
  /** Whether an operation has failed since `failAt`. */
  readonly hasFailed: () => boolean
  /** What failed first. */
  readonly failed: () => DiskError["operation"] | undefined
}

/** With `forEver` nothing works after the failure, as if the machine had stopped there. */
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
    // What fails has written half of it.
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
