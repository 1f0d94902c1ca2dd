/**
 * Goal: only the users who may write the store can connect to its control socket, and no file of
 * another user is taken for it. Method: real sockets and files; owners only as root.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { connect, createServer } from "node:net"
import { userInfo } from "node:os"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { ControlSocket, find } from "../../../../src/server/operator/control/ControlSocket.ts"
import * as StoreUrl from "../../../../src/server/store/StoreUrl.ts"
import { runLottery } from "../../../support/processes/lotteryCommand.ts"
import { startServer } from "../../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const isRoot = process.geteuid?.() === 0
const OTHER = 12_345
const FOREIGN =
  "belongs to user 12345, who cannot write the store; " +
  "remove it, or give it to the store's owner if you trust it (chown)"

const newStore = Effect.map(temporaryFolder, (folder) => join(folder, "store"))

/** Locks the store and binds its socket, as a server does before it opens the store. */
const bind = (path: string) =>
  Layer.build(Layer.provide(ControlSocket.layer, StoreUrl.layerLock({ _tag: "csv", path })))

const modeOf = (file: string) => lstatSync(file).mode & 0o777

/** Leaves a socket behind, as a killed server does. */
const leaveSocket = (path: string) =>
  Effect.callback<void>((resume) => {
    const server = createServer().listen(`${path}.bound`, () => {
      // Node removes the name that it bound.
      renameSync(`${path}.bound`, path)
      server.close(() => resume(Effect.void))
    })
  })

const connectTo = (path: string) =>
  Effect.callback<void, Error>((resume) => {
    const peer = connect(path, () => resume(Effect.void))
    peer.on("error", (error) => resume(Effect.fail(error)))
    return Effect.sync(() => peer.destroy())
  })

/** What must not be taken for a socket. */
const KINDS: Readonly<Record<string, (path: string) => void>> = {
  "a file": (path) => writeFileSync(path, ""),
  "a folder": (path) => mkdirSync(path),
  "a link to nothing": (path) => symlinkSync("nowhere", path),
  "a link": (path) => {
    mkdirSync(`${path}-linked`)
    symlinkSync(`${path}-linked`, path)
  }
}

describe("the control socket", () => {
  it.live("has the permissions of the store from the start, and goes with the server", () =>
    Effect.gen(function* () {
      for (const [mode, expected] of [
        [undefined, 0o600],
        [0o600, 0o600],
        [0o660, 0o660],
        [0o644, 0o644]
      ]) {
        const path = yield* newStore
        if (mode !== undefined) {
          writeFileSync(path, "")
          chmodSync(path, mode)
        }
        const umask = process.umask()
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* bind(path)
            expect(modeOf(`${path}.sock`)).toBe(expected)
            expect(process.umask()).toBe(umask)
          })
        )
        expect(existsSync(`${path}.sock`)).toBe(false)
      }
    })
  )

  it.live("replaces the socket of a killed server", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      yield* leaveSocket(`${path}.sock`)
      expect(yield* find(path)).toEqual(Option.some(`${path}.sock`))
      const refused = connectTo(`${path}.sock`)
      expect(yield* Effect.flip(refused)).toMatchObject({ code: "ECONNREFUSED" })
      yield* bind(path)
      yield* connectTo(`${path}.sock`)
    })
  )

  it.live.each(Object.entries(KINDS))("is never %s", ([, make]) =>
    Effect.gen(function* () {
      const path = yield* newStore
      make(`${path}.sock`)
      const error = { store: path, reason: `${path}.sock is not a socket; remove it` }
      expect(yield* Effect.flip(Effect.scoped(bind(path)))).toMatchObject(error)
      expect(yield* Effect.flip(find(path))).toMatchObject(error)
      expect(lstatSync(`${path}.sock`, { throwIfNoEntry: false })).toBeDefined()
      expect(readdirSync(dirname(path))).not.toContain("nowhere")
    })
  )

  it.live("does not exist for a folder without a server", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      expect(yield* find(path)).toEqual(Option.none())
    })
  )
})

describe.skipIf(!isRoot)("the control socket (as root)", () => {
  it.live("of another user is neither used nor replaced", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      yield* leaveSocket(`${path}.sock`)
      chownSync(`${path}.sock`, OTHER, OTHER)
      const error = { store: path, reason: `${path}.sock ${FOREIGN}` }
      expect(yield* Effect.flip(Effect.scoped(bind(path)))).toMatchObject(error)
      expect(yield* Effect.flip(find(path))).toMatchObject(error)
      writeFileSync(path, "")
      chownSync(path, OTHER, OTHER)
      expect(yield* find(path)).toEqual(Option.some(`${path}.sock`))
    })
  )

  it.live("belongs to the store's owner", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      writeFileSync(path, "")
      chownSync(path, OTHER, OTHER)
      yield* bind(path)
      expect(lstatSync(`${path}.sock`)).toMatchObject({ uid: OTHER, gid: OTHER })
    })
  )
})

/** A store whose path is too long for a socket, and a folder for temporary files. */
const longPath = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const path = join(folder, "long".repeat(25), "lottery.db")
  mkdirSync(dirname(path))
  const temporary = join(folder, "tmp")
  mkdirSync(temporary)
  return { path, env: { TMPDIR: temporary }, sockets: join(temporary, `lottery-${userInfo().uid}`) }
})

const discardArgs = (path: string) => [
  ...["discard", "--agency", "1", "--yes", "--store", `sqlite:${path}`]
]

describe("the control socket of a store with a long path", () => {
  it.live("is in a private folder for temporary files", () =>
    Effect.gen(function* () {
      const { env, path, sockets } = yield* longPath
      const server = yield* startServer({ store: `sqlite:${path}`, env })
      expect(existsSync(`${path}.sock`)).toBe(false)
      expect(modeOf(sockets)).toBe(0o700)
      const [name, ...others] = readdirSync(sockets)
      expect([name, ...others]).toEqual([expect.stringMatching(/^[0-9a-f]{32}\.sock$/)])
      expect(modeOf(join(sockets, name!))).toBe(0o600)
      const discarded = yield* runLottery({ args: discardArgs(path), env })
      expect(discarded.code, discarded.stderr).toBe(0)
      yield* server.logged(/book_discarded \| result: success/)
      yield* server.signal("SIGTERM")
      expect((yield* server.outcome).code).toBe(0)
      expect(readdirSync(sockets)).toEqual([])
    })
  )

  it.live("is missing if that folder cannot be created, and the server says so and goes on", () =>
    Effect.gen(function* () {
      const { path } = yield* longPath
      const env = { TMPDIR: join(dirname(path), "missing") }
      const server = yield* startServer({ store: `sqlite:${path}`, env })
      expect(server.stderr()).toMatch(
        / WARNING +action: control \| result: fail \| error: cannot listen on .*\.sock: .* hint: /
      )
      const { code, stderr } = yield* runLottery({ args: discardArgs(path), env })
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /^.* CRITICAL cannot open .*: in use by process \d+, which does not answer on its .*\n$/
      )
    })
  )

  it.live.each<readonly [string, (folder: string) => void]>([
    ["open to others", (folder) => mkdirSync(folder, 0o755)],
    ["a file", (folder) => writeFileSync(folder, "")],
    [
      "a link",
      (folder) => {
        mkdirSync(`${folder}-linked`, 0o700)
        symlinkSync(`${folder}-linked`, folder)
      }
    ],
    [
      "of another user",
      (folder) => {
        mkdirSync(folder, 0o700)
        if (isRoot) lchownSync(folder, OTHER, OTHER)
        else chmodSync(folder, 0o750)
      }
    ]
  ])("is refused by server and command if that folder is %s", ([, make]) =>
    Effect.gen(function* () {
      const { env, path, sockets } = yield* longPath
      make(sockets)
      const store = ["--store", `sqlite:${path}`]
      const only = `that only user ${userInfo().uid} can open`
      const reason = `${sockets} is not a folder ${only}; remove it`
      for (const args of [["server", "--port", "0", ...store], discardArgs(path)]) {
        writeFileSync(path, "")
        const { code, stderr } = yield* runLottery({ args, env })
        expect(code, stderr).toBe(1)
        expect(stderr).toMatch(/ CRITICAL .*\n$/)
        expect(stderr).toContain(reason)
      }
      expect(readdirSync(dirname(path)).filter((name) => name.endsWith(".sock"))).toEqual([])
    })
  )
})
