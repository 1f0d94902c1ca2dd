/**
 * The file `<store>.discard`, with which one process asks another to discard a book from an
 * embedded store. The asking process creates it and renews it while waiting. The server atomically
 * replaces it with the same request and its answer.
 */
import { constants } from "node:fs"
import { type FileHandle, lstat, open, unlink } from "node:fs/promises"
import { Clock, Data, Effect, Schema } from "effect"
import { Agency } from "../../../domain/Agency.ts"
import { DrawId } from "../../../domain/Draw.ts"
import { Disk, openScoped as openOnDisk, replaceFile } from "./Disk.ts"
import { OWNER_ONLY } from "./PrivateFile.ts"
import { NOT_A_FILE, orUndefined } from "./StoreFiles.ts"

/** The number of discarded bets, or why none was discarded. */
const Answer = Schema.Union([
  Schema.Struct({ discarded: Schema.Int }),
  Schema.Struct({ refused: Schema.String })
])
export type Answer = typeof Answer.Type

export class Request extends Schema.Class<Request>("lottery/server/store/RequestFile.Request")({
  agency: Agency,
  draw: DrawId,
  /** Identifies this request. */
  token: Schema.NonEmptyString,
  answer: Schema.optionalKey(Answer)
}) {}

const RequestText = Schema.fromJsonString(Request)
const decode = Schema.decodeOption(RequestText)
const encode = (request: Request) => Effect.orDie(Schema.encodeEffect(RequestText)(request))

export class RequestFileError extends Data.TaggedError("RequestFileError")<{
  readonly code?: string | undefined
  readonly reason: string
}> {
  override get message(): string {
    return `the store's server cannot be asked: ${this.reason}`
  }
}

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, RequestFileError> =>
  Effect.tryPromise({
    try: run,
    catch: (error) => {
      const { code, message } = error as NodeJS.ErrnoException
      return new RequestFileError({ code, reason: message })
    }
  })

const openScoped = (path: string, flags: string | number) =>
  Effect.acquireRelease(
    attempt(() => open(path, flags, OWNER_ONLY)),
    (file) => Effect.ignore(attempt(() => file.close()))
  )

/** The request file of the store at a canonical path. */
export const pathOf = (store: string): string => `${store}.discard`

/** Does not follow a link or wait for the other end of a FIFO. */
const CAREFULLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
/** The errors of opening a link or a socket. */
const NOT_OPENED: ReadonlyArray<string | undefined> = ["ELOOP", "ENXIO"]
const PERMISSIONS = 0o777
/** A longer file is not a request. */
const MAX_BYTES = 64 * 1024

export interface Found {
  /** The file's owner. */
  readonly user: number
  /** Time since the last renewal. A clock that was set back makes it older too. */
  readonly ageMillis: number
  /** Undefined if the file is not a request, or is still being written. */
  readonly request: Request | undefined
}

/** Reads the request file; undefined if there is none. */
export const read = Effect.fnUntraced(
  function* (path: string) {
    const notAFile = new RequestFileError({ reason: `${path} ${NOT_A_FILE}` })
    const file = yield* openScoped(path, CAREFULLY).pipe(
      Effect.mapError((error) => (NOT_OPENED.includes(error.code) ? notAFile : error))
    )
    const stats = yield* attempt(() => file.stat())
    if (!stats.isFile()) return yield* notAFile
    const { mtimeMs, size, uid: user } = stats
    const { buffer, bytesRead } = yield* attempt(() => file.read(Buffer.alloc(MAX_BYTES), 0))
    const request = decode(size > MAX_BYTES ? "" : buffer.toString("utf8", 0, bytesRead))
    const found: Found = {
      user,
      ageMillis: Math.abs((yield* Clock.currentTimeMillis) - mtimeMs),
      request: request._tag === "Some" ? request.value : undefined
    }
    return found
  },
  Effect.scoped,
  Effect.catchIf(
    (error) => error.code === "ENOENT",
    () => Effect.succeed(undefined)
  )
)

export const remove = (path: string): Effect.Effect<void, RequestFileError> =>
  Effect.catchIf(
    attempt(() => unlink(path)),
    (error) => error.code === "ENOENT",
    () => Effect.void
  )

/**
 * Lets the server read a request: gives it the permissions of the store's lock and, as root, the
 * lock's owner.
 */
const giveToServer = Effect.fnUntraced(function* (file: FileHandle, store: string) {
  const lock = yield* orUndefined(() => lstat(`${store}.lock`))
  if (lock?.isFile() !== true) return
  if (process.geteuid?.() === 0) yield* attempt(() => file.chown(lock.uid, lock.gid))
  const mode = lock.mode & PERMISSIONS
  if (mode !== OWNER_ONLY) yield* attempt(() => file.chmod(mode))
})

/**
 * Creates the request file of a store, and removes it with the scope unless another request has
 * replaced it. Fails with the code `EEXIST` if there is one. Returns the open file for `renew`.
 */
export const create = Effect.fnUntraced(function* (store: string, request: Request) {
  const path = pathOf(store)
  const text = yield* encode(request)
  const file = yield* openScoped(path, "wx")
  yield* giveToServer(file, store).pipe(
    Effect.andThen(attempt(() => file.writeFile(text))),
    Effect.onError(() => Effect.ignore(remove(path)))
  )
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(read(path), (found) =>
      found?.request?.token === request.token ? remove(path) : Effect.void
    ).pipe(Effect.ignore)
  )
  return file
  // An interruption would leave the file behind.
}, Effect.uninterruptible)

/** Shows that the asking process is still waiting. */
export const renew = Effect.fnUntraced(function* (file: FileHandle) {
  const seconds = (yield* Clock.currentTimeMillis) / 1000
  yield* attempt(() => file.utimes(seconds, seconds))
})

/** Answers a request, unless it is gone. */
export const answer = Effect.fnUntraced(
  function* (path: string, request: Request, given: Answer) {
    const found = yield* read(path)
    if (found?.request?.token !== request.token) return
    const text = yield* encode(new Request({ ...request, answer: given }))
    const disk = yield* Disk
    // The asking process may read the answer.
    const asked = yield* openOnDisk(disk, path, "r")
    yield* replaceFile(disk, path, Buffer.from(text), asked)
  },
  Effect.scoped,
  Effect.catchTag("DiskError", ({ code, reason }) =>
    // Removed meanwhile.
    code === "ENOENT" ? Effect.void : Effect.fail(new RequestFileError({ code, reason }))
  )
)
