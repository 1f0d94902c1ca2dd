/**
 * The Unix socket of the control channel, `<store>.sock`. Who may connect is decided by its
 * permissions, which are those of the store. If that path is too long for a socket, it is in a
 * private folder for temporary files instead.
 */
import { createHash } from "node:crypto"
import type { Stats } from "node:fs"
import { lchown, lstat, mkdir, stat, unlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Context, Effect, Layer, Option } from "effect"
import type { SocketServer, SocketServerError } from "effect/socket/SocketServer"
import { ActionLine } from "../../../domain/ActionLog.ts"
import { StoreOpenError } from "../../store/BetStore.ts"
import { foreign, mayWrite, OWNER_ONLY } from "../../store/embedded/PrivateFile.ts"
import { orUndefined } from "../../store/embedded/StoreFiles.ts"
import { canonicalPath } from "../../store/embedded/StoreLock.ts"
import { LockedStore } from "../../store/StoreUrl.ts"

/** Linux's limit. */
const MAX_PATH_BYTES = 107
const PRIVATE_FOLDER = 0o700
const OF_OTHERS = 0o077
const PERMISSIONS = 0o777
/** A socket is not executable. */
const READ_AND_WRITE = 0o666

interface Place {
  readonly path: string
  /** The private folder that contains the socket, if it is not next to the store. */
  readonly folder: string | undefined
  readonly store: Stats | undefined
  /** The store's owner; this user if there is no store yet. */
  readonly owner: number | undefined
}

const placeOf = Effect.fnUntraced(function* (canonical: string) {
  const store = yield* orUndefined(() => stat(canonical))
  const owner = store?.uid ?? process.geteuid?.()
  const path = `${canonical}.sock`
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) {
    return { path, folder: undefined, store, owner } satisfies Place
  }
  const folder = join(tmpdir(), `lottery-${owner}`)
  const hash = createHash("sha256").update(canonical).digest("hex").slice(0, 32)
  return { path: join(folder, `${hash}.sock`), folder, store, owner } satisfies Place
})

/** Whether there is a socket. Fails if it, or its private folder, cannot be trusted. */
const check = Effect.fnUntraced(function* (
  path: string,
  { folder, owner, store, ...place }: Place
) {
  const fail = (reason: string) => Effect.fail(new StoreOpenError({ store: path, reason }))
  if (folder !== undefined) {
    const found = yield* orUndefined(() => lstat(folder))
    if (found === undefined) return false
    const isPrivate = found.isDirectory() && found.uid === owner && (found.mode & OF_OTHERS) === 0
    if (!isPrivate) {
      return yield* fail(`${folder} is not a folder that only user ${owner} can open; remove it`)
    }
  }
  const socket = yield* orUndefined(() => lstat(place.path))
  if (socket === undefined) return false
  if (!socket.isSocket()) return yield* fail(`${place.path} is not a socket; remove it`)
  if (mayWrite(socket.uid, store)) return true
  return yield* fail(`${place.path} ${foreign(socket.uid)}`)
})

/** The path of a store's socket, if there is one. A killed server leaves its socket behind. */
export const find = Effect.fnUntraced(function* (path: string) {
  const place = yield* placeOf(yield* canonicalPath(path))
  const exists = yield* check(path, place)
  return exists ? Option.some(place.path) : Option.none()
})

/** As root, gives a new file or folder to the store's owner. Does not follow a link. */
const giveToOwner = (path: string, { owner, store }: Place) =>
  store !== undefined && owner !== process.geteuid?.() && process.geteuid?.() === 0
    ? orUndefined(() => lchown(path, store.uid, store.gid))
    : Effect.void

const makeFolder = (folder: string, place: Place) =>
  Effect.matchEffect(
    Effect.tryPromise(() => mkdir(folder, PRIVATE_FOLDER)),
    // It exists already, or the listening fails and tells why.
    { onSuccess: () => giveToOwner(folder, place), onFailure: () => Effect.void }
  )

/** Creates the socket with its permissions: changing them later would let others in before. */
const listen = ({ path, store }: Place) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const mode = (store?.mode ?? OWNER_ONLY) & READ_AND_WRITE
      return process.umask(PERMISSIONS & ~mode)
    }),
    () => NodeSocketServer.make({ path }),
    (umask) => Effect.sync(() => process.umask(umask))
  )

/** Logs why commands cannot reach the server, which takes bets all the same. */
const warn = (path: string, { message, reason }: SocketServerError) => {
  const { cause } = reason
  const why = cause instanceof Error ? cause.message : message
  const hint = "commands such as lottery discard cannot reach this server"
  return Effect.logWarning(
    new ActionLine("control", "fail", { error: `cannot listen on ${path}: ${why}`, hint })
  )
}

/**
 * Binds the socket of a locked store until the scope closes, in place of one that a killed server
 * left. Connections wait until they are served.
 */
const bind = Effect.fnUntraced(function* (canonical: string) {
  const place = yield* placeOf(canonical)
  if (place.folder !== undefined) yield* makeFolder(place.folder, place)
  if (yield* check(canonical, place)) yield* orUndefined(() => unlink(place.path))
  return yield* listen(place).pipe(
    Effect.tap(() => giveToOwner(place.path, place)),
    Effect.map(Option.some),
    Effect.catchTag("SocketServerError", (error) =>
      Effect.as(warn(place.path, error), Option.none())
    )
  )
})

/** The socket of an embedded store. PostgreSQL needs none: commands act on the database. */
export class ControlSocket extends Context.Service<
  ControlSocket,
  Option.Option<SocketServer["Service"]>
>()("lottery/server/ControlSocket") {
  static readonly layer: Layer.Layer<ControlSocket, StoreOpenError, LockedStore> = Layer.effect(
    ControlSocket,
    Effect.flatMap(LockedStore, ({ path }) =>
      Option.match(path, { onNone: () => Effect.succeedNone, onSome: bind })
    )
  )
}
