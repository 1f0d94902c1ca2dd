/**
 * The file operations of the CSV store. Their typed error says whether a sync failed. A
 * `Context.Reference`, so that a test can provide its own disk.
 *
 * Not Effect's `FileSystem`: its `sync` is `fsync` alone, and its writes hide short ones.
 */
import * as Fs from "node:fs"
import { dirname } from "node:path"
import { Context, Data, Effect } from "effect"
import { temporaryName } from "../../../domain/TemporaryName.ts"
import { OWNER_ONLY } from "./PrivateFile.ts"

export class DiskError extends Data.TaggedError("DiskError")<{
  readonly operation: "open" | "read" | "write" | "cut" | "rename" | "remove" | "sync"
  readonly code?: string | undefined
  readonly reason: string
}> {}

/** Gives undefined if there is no such file. */
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

const stat = (file: Descriptor) => call<Fs.Stats>("read", (done) => Fs.fstat(file, done))

const node = {
  /** Follows no link in the place of the file. Only its owner may read a new one. */
  open: (path: string, flags: Flags) =>
    call<Descriptor>("open", (done) => Fs.open(path, FLAGS[flags], OWNER_ONLY, done)),
  close: (file: Descriptor) => call("open", (done) => Fs.close(file, done)),
  size: (file: Descriptor) => Effect.map(stat(file), ({ size }) => size),
  /** Gives how many bytes were read; 0 at the end. */
  read: (file: Descriptor, into: Uint8Array, position: number) =>
    call<number>("read", (done) => Fs.read(file, into, 0, into.length, position, done)),
  /** Gives how many bytes were written, which may be fewer than asked. */
  write: (file: Descriptor, bytes: Uint8Array, position: number) =>
    call<number>("write", (done) => Fs.write(file, bytes, 0, bytes.length, position, done)),
  /** Gives a file the permissions of another, and its owner if that is allowed. */
  copyAccess: Effect.fnUntraced(function* (from: Descriptor, to: Descriptor) {
    const { gid, mode, uid } = yield* stat(from)
    const found = yield* stat(to)
    // A file system that knows no permissions refuses to change them.
    if (found.mode !== mode) yield* call("open", (done) => Fs.fchmod(to, mode, done))
    const isOwned = found.uid === uid && found.gid === gid
    // Only root may give a file away.
    const isRoot = process.geteuid?.() === 0
    if (isRoot && !isOwned) yield* call("open", (done) => Fs.fchown(to, uid, gid, done))
  }),
  /** Whether an open file is the one that a path leads to: another program may have replaced it. */
  isAt: Effect.fnUntraced(function* (file: Descriptor, path: string) {
    const opened = yield* stat(file)
    const found = yield* orUndefined(call<Fs.Stats>("read", (done) => Fs.stat(path, done)))
    return found?.dev === opened.dev && found.ino === opened.ino
  }),
  truncate: (file: Descriptor, length: number) =>
    call("cut", (done) => Fs.ftruncate(file, length, done)),
  syncData: (file: Descriptor) => call("sync", (done) => Fs.fdatasync(file, done)),
  /** Syncs all of a file or a folder. */
  sync: (file: Descriptor) => call("sync", (done) => Fs.fsync(file, done)),
  rename: (from: string, to: string) => call("rename", (done) => Fs.rename(from, to, done)),
  remove: (path: string) => call("remove", (done) => Fs.unlink(path, done))
}

export type Disk = typeof node

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
      return yield* new DiskError({ operation: "write", reason })
    }
    written += more
  }
})

/** Syncs the folder of a file, so that its name is as durable as its bytes. */
export const syncFolderOf = (disk: Disk, path: string) =>
  Effect.scoped(Effect.flatMap(openScoped(disk, dirname(path), "r"), disk.sync))

/**
 * Puts a new file, which `fill` writes, in the place of `path` in one step: a crash leaves the old
 * file or the new one. The new one has the access of the file `like` and stays open until the scope
 * closes. After any failure except one of a sync the old one is still there.
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
    // If its name is not synced, which file a crash would leave is as unknown as after a failed
    // sync, whatever it was that failed.
    yield* Effect.mapError(
      syncFolderOf(disk, path),
      ({ code, reason }) => new DiskError({ operation: "sync", code, reason })
    )
    return filled
  }).pipe(Effect.onError(() => Effect.ignore(disk.remove(name))))
})

/** Puts a file of these bytes in the place of `path`, as `replaceWith` does. */
export const replaceFile = (disk: Disk, path: string, bytes: Uint8Array, like: Descriptor) =>
  Effect.scoped(replaceWith(disk, path, like, (file) => writeAll(disk, file, bytes, 0)))

/** Reads `count` bytes of a file from a position on, or fewer if it ends before. */
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

/** Reads a whole file; undefined if there is none. */
export const readFile = (disk: Disk, path: string) =>
  openScoped(disk, path, "r").pipe(
    Effect.flatMap((file) =>
      Effect.flatMap(disk.size(file), (size) => readBytes(disk, file, 0, size))
    ),
    Effect.scoped,
    orUndefined
  )
