/**
 * The few things that the CSV store does to files, each failing with a typed error that says
 * whether a sync was what failed. A `Context.Reference`, so that a test can hold the disk.
 *
 * Not Effect's `FileSystem`: its `sync` is `fsync` alone, and its writes hide short ones.
 */
import * as Fs from "node:fs"
import { dirname } from "node:path"
import { Context, Data, Effect, Exit } from "effect"
import { temporaryName } from "../../../domain/TemporaryName.ts"
import { OWNER_ONLY } from "./PrivateFile.ts"

export class DiskError extends Data.TaggedError("DiskError")<{
  readonly operation: "open" | "read" | "write" | "cut" | "rename" | "remove" | "sync"
  readonly code: string | undefined
  readonly reason: string
}> {}

type Done = (error: NodeJS.ErrnoException | null) => void

const call = (operation: DiskError["operation"], run: (done: Done) => void) =>
  callFor<void>(operation, (done) => run((error) => done(error, undefined)))

const callFor = <A>(
  operation: DiskError["operation"],
  run: (done: (error: NodeJS.ErrnoException | null, value: A) => void) => void
): Effect.Effect<A, DiskError> =>
  Effect.callback((resume) => {
    run((error, value) =>
      resume(
        error === null
          ? Effect.succeed(value)
          : Effect.fail(new DiskError({ operation, code: error.code, reason: error.message }))
      )
    )
  })

/** An open file. */
export type Descriptor = number

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = Fs.constants

/** How a file is opened. Another user may have put a link or a FIFO there, which would block. */
const FLAGS = {
  r: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  "r+": O_RDWR | O_NOFOLLOW | O_NONBLOCK,
  "wx+": O_RDWR | O_CREAT | O_EXCL
}
export type Flags = keyof typeof FLAGS

export interface Disk {
  /** Follows no link in the place of the file. A new one is its owner's alone. */
  readonly open: (path: string, flags: Flags) => Effect.Effect<Descriptor, DiskError>
  readonly close: (file: Descriptor) => Effect.Effect<void, DiskError>
  readonly size: (file: Descriptor) => Effect.Effect<number, DiskError>
  /** How many bytes were read; 0 at the end. */
  readonly read: (
    file: Descriptor,
    into: Uint8Array,
    position: number
  ) => Effect.Effect<number, DiskError>
  /** How many bytes were written, which may be fewer than asked. */
  readonly write: (
    file: Descriptor,
    bytes: Uint8Array,
    position: number
  ) => Effect.Effect<number, DiskError>
  /** Gives a file the permissions of another, and its owner where that is allowed. */
  readonly copyAccess: (from: Descriptor, to: Descriptor) => Effect.Effect<void, DiskError>
  /** Whether an open file is the one that a path leads to: another program may have replaced it. */
  readonly isAt: (file: Descriptor, path: string) => Effect.Effect<boolean, DiskError>
  readonly truncate: (file: Descriptor, length: number) => Effect.Effect<void, DiskError>
  readonly syncData: (file: Descriptor) => Effect.Effect<void, DiskError>
  /** Syncs all of a file or a folder. */
  readonly sync: (file: Descriptor) => Effect.Effect<void, DiskError>
  readonly rename: (from: string, to: string) => Effect.Effect<void, DiskError>
  readonly remove: (path: string) => Effect.Effect<void, DiskError>
}

const node: Disk = {
  open: (path, flags) => callFor("open", (done) => Fs.open(path, FLAGS[flags], OWNER_ONLY, done)),
  close: (file) => call("open", (done) => Fs.close(file, (error) => done(error ?? null))),
  size: (file) =>
    Effect.map(
      callFor<Fs.Stats>("read", (done) => Fs.fstat(file, done)),
      (stats) => stats.size
    ),
  read: (file, into, position) =>
    callFor("read", (done) => Fs.read(file, into, 0, into.length, position, done)),
  write: (file, bytes, position) =>
    callFor("write", (done) => Fs.write(file, bytes, 0, bytes.length, position, done)),
  copyAccess: Effect.fnUntraced(function* (from, to) {
    const { gid, mode, uid } = yield* callFor<Fs.Stats>("open", (done) => Fs.fstat(from, done))
    const found = yield* callFor<Fs.Stats>("open", (done) => Fs.fstat(to, done))
    // A file system that knows no permissions refuses to change them.
    if (found.mode !== mode) yield* call("open", (done) => Fs.fchmod(to, mode, done))
    const isOwned = found.uid === uid && found.gid === gid
    // Nobody else may give a file away.
    const isRoot = process.geteuid?.() === 0
    if (isRoot && !isOwned) yield* call("open", (done) => Fs.fchown(to, uid, gid, done))
  }),
  isAt: Effect.fnUntraced(function* (file, path) {
    const opened = yield* callFor<Fs.Stats>("read", (done) => Fs.fstat(file, done))
    const found = yield* Effect.catchIf(
      callFor<Fs.Stats | undefined>("read", (done) => Fs.stat(path, done)),
      ({ code }) => code === "ENOENT",
      () => Effect.succeed(undefined)
    )
    return found?.dev === opened.dev && found.ino === opened.ino
  }),
  truncate: (file, length) => call("cut", (done) => Fs.ftruncate(file, length, done)),
  syncData: (file) => call("sync", (done) => Fs.fdatasync(file, done)),
  sync: (file) => call("sync", (done) => Fs.fsync(file, done)),
  rename: (from, to) => call("rename", (done) => Fs.rename(from, to, done)),
  remove: (path) => call("remove", (done) => Fs.unlink(path, done))
}

/** The disk; Node's unless a test provides another. */
export const Disk = Context.Reference<Disk>("lottery/server/store/Disk", {
  defaultValue: () => node
})

/** Opens a file until the scope closes. */
export const openScoped = (disk: Disk, path: string, flags: Flags) =>
  Effect.acquireRelease(disk.open(path, flags), (file) =>
    // Everything that matters was synced before; a descriptor that cannot be closed is a bug.
    Effect.orDie(disk.close(file))
  )

/** Writes all bytes from a position on, however short the single writes are. */
export const writeAll = Effect.fnUntraced(function* (
  disk: Disk,
  file: Descriptor,
  bytes: Uint8Array,
  position: number
) {
  let written = 0
  while (written < bytes.length) {
    const more = yield* disk.write(file, bytes.subarray(written), position + written)
    if (more === 0) {
      const reason = "nothing could be written"
      return yield* new DiskError({ operation: "write", code: undefined, reason })
    }
    written += more
  }
})

/** Syncs the folder of a file, so that its name is as durable as its bytes. */
export const syncFolderOf = (disk: Disk, path: string) =>
  Effect.scoped(Effect.flatMap(openScoped(disk, dirname(path), "r"), disk.sync))

/**
 * Syncs the folder of a file that has just been given its name: whatever fails now leaves unknown
 * which file a crash would leave there, as a failed sync does.
 */
export const syncNewName = (disk: Disk, path: string) =>
  Effect.mapError(
    syncFolderOf(disk, path),
    ({ code, reason }) => new DiskError({ operation: "sync", code, reason })
  )

/**
 * Opens a new file that is to take the place of `path`, with the access of the file `like`. If the
 * scope fails it is removed.
 */
export const openTemporary = Effect.fnUntraced(function* (
  disk: Disk,
  path: string,
  like: Descriptor
) {
  const name = yield* temporaryName(path)
  const file = yield* openScoped(disk, name, "wx+")
  yield* Effect.addFinalizer((exit) =>
    Exit.isSuccess(exit) ? Effect.void : Effect.ignore(disk.remove(name))
  )
  yield* disk.copyAccess(like, file)
  return { name, file }
})

/**
 * Puts a file in the place of another in one step: a crash leaves the old or the new. It has the
 * access of the file `like`.
 */
export const replaceFile = Effect.fnUntraced(function* (
  disk: Disk,
  path: string,
  bytes: Uint8Array,
  like: Descriptor
) {
  const { file, name } = yield* openTemporary(disk, path, like)
  yield* writeAll(disk, file, bytes, 0)
  yield* disk.sync(file)
  yield* disk.rename(name, path)
  yield* syncNewName(disk, path)
}, Effect.scoped)

/** So many bytes of a file from a position on, or fewer where it ends before. */
export const readBytes = Effect.fnUntraced(function* (
  disk: Disk,
  file: Descriptor,
  position: number,
  count: number
) {
  const bytes = new Uint8Array(count)
  let length = 0
  while (length < count) {
    const more = yield* disk.read(file, bytes.subarray(length), position + length)
    if (more === 0) break
    length += more
  }
  return bytes.subarray(0, length)
})

/** All bytes of a file; undefined where there is none. */
export const readFile = Effect.fnUntraced(
  function* (disk: Disk, path: string) {
    const file = yield* openScoped(disk, path, "r")
    return yield* readBytes(disk, file, 0, yield* disk.size(file))
  },
  Effect.scoped,
  Effect.catchIf(
    (error) => error.code === "ENOENT",
    () => Effect.succeed(undefined)
  )
)
