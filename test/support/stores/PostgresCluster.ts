/**
 * A real PostgreSQL for tests: a temporary cluster, which a test may stop, crash, hang and restart.
 * Tests that need only a database can use the one that `LOTTERY_TEST_POSTGRES` names. All waits are
 * in real time, so that tests with a test clock can use it.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import { randomBytes, randomInt } from "node:crypto"
import * as Fs from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Data, Effect, Exit, Redacted, Scope } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type { SqlError } from "effect/sql/SqlError"
import { afterAll, beforeAll } from "vitest"
import { describeUnless } from "../describeUnless.ts"
import { temporaryFolder } from "../TemporaryFolder.ts"

/** PostgreSQL could not be set up or started; the message includes its log. */
export class ClusterFailed extends Data.TaggedError("ClusterFailed")<{
  readonly message: string
}> {}

/** "immediate" is a crash: no checkpoint, and the next start recovers from the WAL. */
export type StopMode = "immediate" | "fast"

export type Rows = ReadonlyArray<Record<string, unknown>>

export interface TestDatabase {
  readonly url: string
}

export interface PostgresCluster {
  readonly port: number
  readonly password: string
  /** The ids of the running postmaster and its children. */
  readonly processes: () => ReadonlyArray<number>
  /** Returns the URL of the database, with the schema as search path if given. */
  readonly url: (schema?: string) => string
  readonly query: (sql: string) => Effect.Effect<Rows, SqlError>
  /** Stops it, even if it is paused. */
  readonly stop: (mode: StopMode) => Effect.Effect<void>
  /** Starts it with the same port and data, and waits until it accepts queries. */
  readonly start: Effect.Effect<void, ClusterFailed>
  readonly restart: (mode: StopMode) => Effect.Effect<void, ClusterFailed>
  /** Hangs it: connections stay open, the system accepts new ones, and there are no answers. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Its log so far. */
  readonly log: Effect.Effect<string>
}

/** The folder of PostgreSQL's programs. Debian has one per version, none of them on the PATH. */
const programs: string | undefined = (() => {
  const debian = "/usr/lib/postgresql"
  const versions = Fs.existsSync(debian) ? Fs.readdirSync(debian) : []
  const newestFirst = versions.sort((a, b) => Number.parseFloat(b) - Number.parseFloat(a))
  const found = (process.env.PATH ?? "")
    .split(delimiter)
    .concat(newestFirst.map((version) => join(debian, version, "bin")))
    .map((folder) => join(folder, "initdb"))
    .find((path) => Fs.existsSync(path))
  return found && dirname(Fs.realpathSync(found))
})()

export const hasInitdb = programs !== undefined

/** The user that runs PostgreSQL, which refuses to run as root. */
const user = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const idOf = (flag: string, name: string) =>
    Number(execFileSync("id", [flag, name], { encoding: "utf8", stdio: "pipe" }))
  for (const name of ["postgres", "nobody"]) {
    try {
      return { uid: idOf("-u", name), gid: idOf("-g", name) }
    } catch {}
  }
  throw new Error("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
}

/** Runs one statement on a new connection. */
export const query = (url: string, sql: string): Effect.Effect<Rows, SqlError> =>
  PgClient.makeClient({ url: Redacted.make(url) }).pipe(
    Effect.flatMap((client) => client.unsafe<Record<string, unknown>>(sql)),
    Effect.scoped,
    Effect.provide(Reactivity.layer)
  )

/** Adds a search path to a URL, keeping its other parameters. */
const withSchema = (text: string, schema: string): string => {
  const url = new URL(text)
  const options = [url.searchParams.get("options"), `-csearch_path=${schema}`]
  url.searchParams.set("options", options.filter((option) => option !== null).join(" "))
  // Not every client reads a plus as a space.
  url.search = url.search.replaceAll("+", "%20")
  return url.href
}

/** Reads a file, or returns undefined if it no longer exists. */
const textOf = (file: string): string | undefined => {
  try {
    return Fs.readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

/** Reads the state of a process from /proc; undefined if it has ended. */
const processOf = (pid: number) => {
  const stat = textOf(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // Skip the name, which is in parentheses and may contain any character.
  const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return { state, parent: Number(parent) }
}

const childrenOf = (parent: number): ReadonlyArray<number> =>
  Fs.readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => processOf(Number(name))?.parent === parent)
    .map(Number)

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // The process has just ended.
  }
}

const POLL_MILLIS = 10
const START_MILLIS = 25_000

/** The states of a stopped or ended process. */
const STILL = "TZX"

/** Sends SIGSTOP to a process and waits until it has stopped. */
const freeze = Effect.fnUntraced(function* (pid: number) {
  signal(pid, "SIGSTOP")
  while (!STILL.includes(processOf(pid)?.state ?? "X")) {
    yield* Effect.promise(() => sleep(POLL_MILLIS))
  }
})

const SIGNALS = { immediate: "SIGQUIT", fast: "SIGINT" } as const

export type Settings = Readonly<Record<string, string | number>>

/** Settings for a small cluster that uses nothing outside its folder. */
const argumentsOf = (folder: string, port: number, more: Settings): ReadonlyArray<string> =>
  Object.entries({
    listen_addresses: "127.0.0.1",
    port,
    unix_socket_directories: folder,
    shared_buffers: "16MB",
    max_connections: 200,
    logging_collector: "off",
    ...more
  }).flatMap(([name, value]) => ["-c", `${name}=${value}`])

/** Excludes the machine's own PostgreSQL settings. */
const environment = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" }

/**
 * Returns a port below the ephemeral range. An ephemeral port may be taken before a restart, and a
 * client that dials one without a listener may connect to itself.
 */
const somePort = () => randomInt(20_000, 30_000)

const PORTS = 10

/** Starts a cluster; closing the scope stops and removes it. */
export const startClusterWith = (
  settings: Settings
): Effect.Effect<PostgresCluster, ClusterFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (programs === undefined) return yield* new ClusterFailed({ message: "no initdb" })
    const folder = yield* temporaryFolder
    const password = randomBytes(12).toString("hex")
    const [data, logFile] = [join(folder, "data"), join(folder, "log")]
    const as = { ...user(), cwd: folder, env: environment }
    if (as.uid !== undefined && as.gid !== undefined) Fs.chownSync(folder, as.uid, as.gid)
    yield* initialize(programs, folder, data, password, as)

    let port = somePort()
    let postmaster: ChildProcess | undefined
    const isRunning = (): boolean =>
      postmaster?.pid !== undefined && postmaster.exitCode === null && !postmaster.signalCode
    const log = Effect.sync(() => Fs.readFileSync(logFile, "utf8"))

    /** Checks the status line that PostgreSQL writes for pg_ctl once it accepts connections. */
    const isReady = (): boolean => {
      const lines = (textOf(join(data, "postmaster.pid")) ?? "").split("\n")
      return Number(lines[0]) === postmaster?.pid && lines[7]?.trim() === "ready"
    }

    const start = Effect.gen(function* () {
      if (isRunning()) return
      const descriptor = Fs.openSync(logFile, "a")
      const before = Fs.fstatSync(descriptor).size
      postmaster = spawn(
        join(programs, "postgres"),
        ["-D", data, ...argumentsOf(folder, port, settings)],
        {
          ...as,
          stdio: ["ignore", descriptor, descriptor]
        }
      ).on("error", () => {})
      Fs.closeSync(descriptor)
      const deadline = performance.now() + START_MILLIS
      while (!isReady()) {
        if (!isRunning() || performance.now() > deadline) {
          const message = `PostgreSQL does not start: ${(yield* log).slice(before)}`
          return yield* new ClusterFailed({ message })
        }
        yield* Effect.promise(() => sleep(POLL_MILLIS))
      }
    })

    const everyProcess = () =>
      isRunning() ? [postmaster!.pid!, ...childrenOf(postmaster!.pid!)] : []
    const pause = Effect.gen(function* () {
      if (!isRunning()) return
      // The postmaster first, because it could start others.
      yield* freeze(postmaster!.pid!)
      yield* Effect.forEach(childrenOf(postmaster!.pid!), freeze, { discard: true })
    })
    const resume = Effect.sync(() => {
      for (const pid of everyProcess()) signal(pid, "SIGCONT")
    })
    const stop = (mode: StopMode) =>
      Effect.callback<void>((done) => {
        if (!isRunning()) return done(Effect.void)
        postmaster!.once("exit", () => done(Effect.void))
        postmaster!.kill(SIGNALS[mode])
        Effect.runSync(resume)
      })

    yield* Effect.addFinalizer(() => stop("immediate"))
    /** Tries other ports: only the start shows whether one is taken. */
    const firstStart = (left: number): Effect.Effect<void, ClusterFailed> =>
      Effect.catch(start, (failed) => {
        if (left === 0 || !failed.message.includes("could not bind")) return Effect.fail(failed)
        port = somePort()
        return firstStart(left - 1)
      })
    yield* firstStart(PORTS)

    const urlOf = (database: string) =>
      `postgres://lottery:${password}@127.0.0.1:${port}/${database}`
    yield* query(urlOf("postgres"), "CREATE DATABASE lottery").pipe(
      Effect.mapError(({ message }) => new ClusterFailed({ message }))
    )
    const url = (schema?: string) =>
      schema === undefined ? urlOf("lottery") : withSchema(urlOf("lottery"), schema)
    return {
      port,
      password,
      processes: everyProcess,
      url,
      query: (sql) => query(url(), sql),
      stop,
      start,
      restart: (mode) => Effect.andThen(stop(mode), start),
      pause,
      resume,
      log
    } satisfies PostgresCluster
  })

export const startCluster = startClusterWith({})

/** Creates the data folder, with `lottery` as the superuser. */
const initialize = Effect.fnUntraced(function* (
  programs: string,
  folder: string,
  data: string,
  password: string,
  as: { readonly uid?: number; readonly gid?: number; readonly cwd: string }
) {
  const passwordFile = join(folder, "password")
  Fs.writeFileSync(passwordFile, password, { mode: 0o600 })
  if (as.uid !== undefined && as.gid !== undefined) Fs.chownSync(passwordFile, as.uid, as.gid)
  const args = [
    ...["-D", data, "--no-sync", "--encoding", "UTF8", "--locale", "C"],
    ...["--username", "lottery", "--pwfile", passwordFile, "--auth", "scram-sha-256"]
  ]
  yield* Effect.callback<void, ClusterFailed>((resume) => {
    const child = execFile(join(programs, "initdb"), args, as, (error, _stdout, stderr) => {
      if (error === null) resume(Effect.void)
      else resume(Effect.fail(new ClusterFailed({ message: `${error.message}\n${stderr}` })))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })
  Fs.rmSync(passwordFile)
})

const namedDatabase = (): string | undefined => process.env.LOTTERY_TEST_POSTGRES || undefined

/** The database that `LOTTERY_TEST_POSTGRES` names, or that of a new cluster. */
export const testDatabase: Effect.Effect<TestDatabase, ClusterFailed, Scope.Scope> = Effect.suspend(
  () => {
    const url = namedDatabase()
    if (url !== undefined) return Effect.succeed({ url })
    return Effect.map(startCluster, (cluster) => ({ url: cluster.url() }))
  }
)

/** Creates a schema and returns its URL; closing the scope drops it, if the database answers. */
export const freshSchema = Effect.fnUntraced(function* (url: string) {
  const schema = `test_${randomBytes(8).toString("hex")}`
  yield* Effect.acquireRelease(query(url, `CREATE SCHEMA ${schema}`), () =>
    Effect.orDie(query(url, `DROP SCHEMA ${schema} CASCADE`))
  )
  return withSchema(url, schema)
})

/** A suite whose tests share one resource; skipped if there is a reason. */
const describeWith = <A, E>(
  name: string,
  acquire: Effect.Effect<A, E, Scope.Scope>,
  skipped: string | undefined,
  body: (shared: Effect.Effect<A>) => void
): void => {
  describeUnless(skipped, name, () => {
    const scope = Scope.makeUnsafe()
    let shared: A
    beforeAll(async () => {
      shared = await Effect.runPromise(Scope.provide(acquire, scope))
    })
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
    body(Effect.sync(() => shared))
  })
}

/** A suite of tests that share a database; skipped if there is none. */
export const describePostgres = (
  name: string,
  body: (database: Effect.Effect<TestDatabase>) => void
): void => {
  const isThere = hasInitdb || namedDatabase() !== undefined
  const reason = "no initdb on this machine and no LOTTERY_TEST_POSTGRES"
  describeWith(name, testDatabase, isThere ? undefined : reason, body)
}

/** A suite of tests that share a cluster and may crash it; skipped if PostgreSQL is missing. */
export const describeCluster = (
  name: string,
  body: (cluster: Effect.Effect<PostgresCluster>) => void
): void => {
  const reason = hasInitdb ? undefined : "no initdb on this machine"
  describeWith(name, startCluster, reason, body)
}
