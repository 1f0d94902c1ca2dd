/**
 * The file operations of the CSV store. Effect's `FileSystem` does not fit: it has no `fdatasync`,
 * and its writes hide short ones.
 */
import * as Fs from "node:fs"
import { dirname } from "node:path"
import { Context, Data, Effect } from "effect"
import { temporaryName } from "../../../domain/TemporaryName.ts"
import { OWNER_ONLY } from "./PrivateFile.ts"

export class DiskError extends Data.TaggedError("DiskError")<{
  /** After a failed "sync" the state of the disk is unknown; after the others it is not. */
  readonly operation: "open" | "read" | "write" | "cut" | "rename" | "remove" | "sync"
  readonly code?: string | undefined
  readonly reason: string
}> {}

/** Returns undefined if the file does not exist. */
const orUndefined = <A>(effect: Effect.Effect<A, DiskError>) =>
  Effect.catchIf(
    effect,
    ({ code }) => code === "ENOENT",
    () => Effect.succeed(undefined)
  )

type Done<A> = (error: NodeJS.ErrnoException | null | undefined, value?: A) => void

const call = <A = void>(
  operation: DiskError["operation"],
  run: (done: Done<A>) => void
): Effect.Effect<A, DiskError> =>
  Effect.callback((resume) => {
    run((error, value) =>
      resume(
        error
          ? Effect.fail(new DiskError({ operation, code: error.code, reason: error.message }))
          : Effect.succeed(value as A)
      )
    )
  })

export type Descriptor = number

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = Fs.constants

/** Another user may have put a link there, or a FIFO, whose opening would block. */
const FLAGS = {
  r: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  "r+": O_RDWR | O_NOFOLLOW | O_NONBLOCK,
  "wx+": O_RDWR | O_CREAT | O_EXCL
}
export type Flags = keyof typeof FLAGS

const stat = (file: Descriptor) => call<Fs.Stats>("read", (done) => Fs.fstat(file, done))

const node = {
  /** Does not follow a link. Only its owner may read a new file. */
  open: (path: string, flags: Flags) =>
    call<Descriptor>("open", (done) => Fs.open(path, FLAGS[flags], OWNER_ONLY, done)),
  close: (file: Descriptor) => call("open", (done) => Fs.close(file, done)),
  size: (file: Descriptor) => Effect.map(stat(file), ({ size }) => size),
  /** Returns the number of bytes read; 0 at the end. */
  read: (file: Descriptor, into: Uint8Array, position: number) =>
    call<number>("read", (done) => Fs.read(file, into, 0, into.length, position, done)),
  /** Returns the number of bytes written, which may be fewer than requested. */
  write: (file: Descriptor, bytes: Uint8Array, position: number) =>
    call<number>("write", (done) => Fs.write(file, bytes, 0, bytes.length, position, done)),
  /** Copies the permissions of a file to another, and, as root, its owner. */
  copyAccess: Effect.fnUntraced(function* (from: Descriptor, to: Descriptor) {
    const { gid, mode, uid } = yield* stat(from)
    const found = yield* stat(to)
    // A file system without permissions refuses to change them.
    if (found.mode !== mode) yield* call("open", (done) => Fs.fchmod(to, mode, done))
    const isOwned = found.uid === uid && found.gid === gid
    // Only root may change the owner.
    const isRoot = process.geteuid?.() === 0
    if (isRoot && !isOwned) yield* call("open", (done) => Fs.fchown(to, uid, gid, done))
  }),
  /** Whether a path still leads to an open file: another program may have replaced it. */
  isAt: Effect.fnUntraced(function* (file: Descriptor, path: string) {
    const opened = yield* stat(file)
    const found = yield* orUndefined(call<Fs.Stats>("read", (done) => Fs.stat(path, done)))
    return found?.dev === opened.dev && found.ino === opened.ino
  }),
  truncate: (file: Descriptor, length: number) =>
    call("cut", (done) => Fs.ftruncate(file, length, done)),
  syncData: (file: Descriptor) => call("sync", (done) => Fs.fdatasync(file, done)),
  /** Syncs a file or folder with its metadata. */
  sync: (file: Descriptor) => call("sync", (done) => Fs.fsync(file, done)),
  rename: (from: string, to: string) => call("rename", (done) => Fs.rename(from, to, done)),
  remove: (path: string) => call("remove", (done) => Fs.unlink(path, done))
}

export type Disk = typeof node

/** Node's file operations, unless a test provides others. */
export const Disk = Context.Reference<Disk>("lottery/server/store/Disk", {
  defaultValue: () => node
})

export const openScoped = (disk: Disk, path: string, flags: Flags) =>
  Effect.acquireRelease(disk.open(path, flags), (file) =>
    // All data was synced before, so a failed close is a bug.
    Effect.orDie(disk.close(file))
  )

/** Writes all bytes at a position, with more writes after a short one. */
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
      return yield* new DiskError({ operation: "write", reason })
    }
    written += more
  }
})

/** Syncs the folder of a file, which makes the file's name durable. */
export const syncFolderOf = (disk: Disk, path: string) =>
  Effect.scoped(Effect.flatMap(openScoped(disk, dirname(path), "r"), disk.sync))

/**
 * Atomically replaces the file at `path` with one that `fill` writes: a crash leaves the old file
 * or the new one. The new file has the access rights of `like` and stays open until the scope
 * closes. Any failure except a failed sync leaves the old file in place.
 */
export const replaceWith = Effect.fnUntraced(function* <A>(
  disk: Disk,
  path: string,
  like: Descriptor,
  fill: (file: Descriptor) => Effect.Effect<A, DiskError>
) {
  const name = yield* temporaryName(path)
  const file = yield* openScoped(disk, name, "wx+")
  return yield* Effect.gen(function* () {
    yield* disk.copyAccess(like, file)
    const filled = yield* fill(file)
    yield* disk.sync(file)
    yield* disk.rename(name, path)
    // Until the folder is synced it is unknown which file a crash would leave, so any failure here
    // counts as a failed sync.
    yield* Effect.mapError(
      syncFolderOf(disk, path),
      ({ code, reason }) => new DiskError({ operation: "sync", code, reason })
    )
    return filled
  }).pipe(Effect.onError(() => Effect.ignore(disk.remove(name))))
})

/** Replaces the file at `path` with these bytes, as `replaceWith` does. */
export const replaceFile = (disk: Disk, path: string, bytes: Uint8Array, like: Descriptor) =>
  Effect.scoped(replaceWith(disk, path, like, (file) => writeAll(disk, file, bytes, 0)))

/** Reads `count` bytes at a position, or fewer at the end of the file. */
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

/** Reads a whole file; undefined if it does not exist. */
export const readFile = (disk: Disk, path: string) =>
  openScoped(disk, path, "r").pipe(
    Effect.flatMap((file) =>
      Effect.flatMap(disk.size(file), (size) => readBytes(disk, file, 0, size))
    ),
    Effect.scoped,
    orUndefined
  )
