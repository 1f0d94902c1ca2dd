/**
 * Goal: acknowledged bets are on the disk, whether the server is killed at a data sync, a sync
 * fails, the disk is full or writes are short. Method: the built server under strace, which injects
 * the fault into the n-th sync; on a small file system; with a limit for the size of a file. A peer
 * waits for each answer, so it knows what was acknowledged.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as M from "../support/peers/messages.ts"
import * as RawPeer from "../support/peers/RawPeer.ts"
import { runLottery, startLottery } from "../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  exported,
  generate,
  inFolder,
  LISTENS,
  launchServer,
  recoveredBook,
  STORES,
  startServer,
  winnersOf
} from "../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const succeeds = (command: string, ...args: ReadonlyArray<string>): boolean =>
  spawnSync(command, args).status === 0

const canTrace = succeeds("strace", "-qq", "-o", "/dev/null", "-e", "trace=none", "true")
const canMount = succeeds("unshare", "--mount", "true")

/** The long form of the test injects a fault into each sync, the short form into every third. */
const STEP = process.env.LOTTERY_TEST_LONG ? 1 : 3
/** The fault must occur in at least this many runs. */
const FAULTS = Math.floor(10 / STEP)
const PACKETS = 12
const BETS_A_PACKET = 3

const packets = Array.from({ length: PACKETS }, (_, packet) =>
  Array.from({ length: BETS_A_PACKET }, (_, bet) => M.fields(packet * BETS_A_PACKET + bet + 1))
)
const book = M.rowsOf(packets.flat())
const OPTIONS = ["--agencies", "1,", "--once"]

/** Runs the server with a fault at the n-th sync of each thread. */
const traced = (store: string, trace: string, fault: string, nth: number) =>
  launchServer({
    store,
    more: OPTIONS,
    under: [
      ...["strace", "-f", "-y", "-qqq", "-o", trace, "-e", "trace=fsync,fdatasync"],
      ...["-e", `inject=fsync,fdatasync:${fault}:when=${nth}`]
    ],
    // With one thread for files, the n-th sync of the thread is the n-th of the process.
    env: { UV_THREADPOOL_SIZE: "1" }
  })

/** Sends the book packet by packet; returns the number of acknowledged bets. */
const upload = Effect.fnUntraced(function* (port: number) {
  let acknowledged = 0
  const peer = yield* RawPeer.connect(port)
  const send = Effect.gen(function* () {
    for (const [index, packet] of packets.entries()) {
      yield* peer.send(M.packetOf(1, packet, index < PACKETS - 1))
      if (!(yield* peer.receive(2)).equals(M.STORED)) return
      acknowledged += BETS_A_PACKET
    }
    yield* peer.send(M.packet("1;", false))
    yield* peer.rest
  })
  // If the server dies, there is no answer.
  yield* Effect.ignore(send)
  return acknowledged
}, Effect.scoped)

/** Waits until the server listens or exits. */
const portOf = (server: Effect.Success<ReturnType<typeof traced>>) =>
  Effect.raceFirst(
    Effect.map(server.logged(LISTENS), ([, port]) => Number(port)),
    Effect.as(server.outcome, undefined)
  )

/** Expects the next server to find at least the acknowledged bets. */
const expectRecovered = Effect.fnUntraced(function* (store: string, acknowledged: number) {
  const held = yield* recoveredBook(store, 1)
  expect(book.startsWith(held)).toBe(true)
  expect(held.split("\n").length - 1).toBeGreaterThanOrEqual(acknowledged)
})

/** Runs a server with the fault at the n-th sync. */
const playRun = Effect.fnUntraced(function* (
  folder: string,
  store: string,
  fault: string,
  nth: number
) {
  const trace = join(folder, "trace")
  const url = inFolder(folder, store)
  const server = yield* traced(url, trace, fault, nth)
  const port = yield* portOf(server)
  const acknowledged = port === undefined ? 0 : yield* upload(port)
  const outcome = yield* server.outcome
  const injected = readFileSync(trace, "utf8")
    .split("\n")
    .filter((line) => line.includes("INJECTED"))
  yield* expectRecovered(url, acknowledged)
  return { acknowledged, injected, ...outcome }
}, Effect.scoped)

describe.skipIf(!canTrace)("a server under strace", () => {
  for (const store of STORES) {
    it.live(
      `that is killed at its n-th sync has stored every acknowledged bet once: ${store}`,
      () =>
        Effect.gen(function* () {
          let killed = 0
          for (let nth = 1; ; nth += STEP) {
            const folder = yield* temporaryFolder
            const { acknowledged, code, stderr } = yield* playRun(folder, store, "signal=KILL", nth)
            if (code === 0) {
              expect(acknowledged, stderr).toBe(packets.flat().length)
              break
            }
            killed++
          }
          expect(killed).toBeGreaterThanOrEqual(FAULTS)
        }),
      120_000
    )

    it.live(
      `whose n-th sync fails acknowledges nothing more and exits: ${store}`,
      () =>
        Effect.gen(function* () {
          let failed = 0
          for (let nth = 1; ; nth += STEP) {
            const folder = yield* temporaryFolder
            const run = yield* playRun(folder, store, "error=EIO", nth)
            const { acknowledged, code, injected, stderr } = run
            if (code === 0) expect(acknowledged, stderr).toBe(packets.flat().length)
            if (injected.length === 0) break
            // SQLite ignores a failed sync of a new journal's folder. The store syncs the folder
            // again before it acknowledges anything.
            if (code === 0 && injected.every((line) => line.includes(`<${folder}>`))) continue
            expect(code, stderr).toBe(1)
            expect(stderr.match(/CRITICAL .*\n/g)).toHaveLength(1)
            expect(stderr).not.toMatch(/ at .*\.js/)
            failed++
          }
          expect(failed).toBeGreaterThanOrEqual(FAULTS)
        }),
      120_000
    )
  }
})

const mount = (folder: string, options: string) =>
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "lottery-test", folder])

describe.skipIf(!canMount)("a full disk", () => {
  for (const store of STORES) {
    it.live(
      `makes the server refuse bets until there is room: ${store}`,
      () =>
        Effect.gen(function* () {
          const folder = yield* temporaryFolder
          yield* generate(folder, 30_000)
          const disk = join(folder, "disk")
          mkdirSync(disk)
          yield* Effect.acquireRelease(
            Effect.sync(() => mount(disk, "size=1m")),
            () => Effect.sync(() => execFileSync("umount", ["--lazy", disk]))
          )
          const url = inFolder(disk, store)
          const server = yield* startServer({ store: url, more: OPTIONS })
          const client = yield* startLottery({ args: clientArgs(folder, 1, server, "native") })
          yield* client.logged(/the store is unavailable/)
          const args = ["ping", "--server", `127.0.0.1:${server.port}`]
          expect((yield* runLottery({ args })).code).toBe(0)
          execFileSync("mount", ["-o", "remount,size=64m", disk])
          const { code, stderr, stdout } = yield* client.outcome
          expect({ code, stdout }, stderr).toEqual({
            code: 0,
            stdout: winnersOf(bookOf(folder, 1))
          })
          expect(stderr).toMatch(/upload_resumed/)
          expect(yield* exported(url, 1)).toBe(bookOf(folder, 1))
          expect((yield* server.outcome).code).toBe(0)
        }),
      60_000
    )
  }
})

describe("short writes", () => {
  for (const store of STORES) {
    it.live(
      `at the maximum file size keep the acknowledged bets: ${store}`,
      () =>
        Effect.gen(function* () {
          const folder = yield* temporaryFolder
          yield* generate(folder, 30_000)
          const url = inFolder(folder, store)
          // In KiB: the limit is reached in the middle of a write.
          const limited = yield* startServer({
            store: url,
            more: OPTIONS,
            under: ["bash", "-c", 'ulimit -f 301; exec "$@"', "bash"]
          })
          const client = yield* startLottery({ args: clientArgs(folder, 1, limited, "native") })
          yield* client.logged(/the store is unavailable/)
          yield* client.signal("SIGKILL")
          const { stderr } = yield* client.outcome
          const acknowledged = [...stderr.matchAll(/apuestas_enviadas .* cantidad: (\d+)/g)]
          const sent = acknowledged.reduce((sum, match) => sum + Number(match[1]), 0)
          yield* limited.signal("SIGKILL")
          yield* limited.outcome
          const held = yield* recoveredBook(url, 1)
          expect(bookOf(folder, 1).startsWith(held)).toBe(true)
          expect(held.split("\n").length - 1).toBeGreaterThanOrEqual(sent)
          expect(sent).toBeGreaterThan(0)
          const server = yield* startServer({ store: url, more: OPTIONS })
          const again = yield* runLottery({ args: clientArgs(folder, 1, server, "native") })
          expect(again.code, again.stderr).toBe(0)
          expect(yield* exported(url, 1)).toBe(bookOf(folder, 1))
        }),
      60_000
    )
  }
})
