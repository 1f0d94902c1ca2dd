/**
 * Goal: the tests' PostgreSQL requires a password, keeps committed data after a crash, hangs on
 * request, and leaves nothing behind. Method: queries, and checks of processes and folders.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { expect } from "vitest"
import {
  describeCluster,
  describePostgres,
  freshSchema,
  query,
  startCluster
} from "./PostgresCluster.ts"

/** Returns the processes that have the folder as an argument. */
const processesOf = (folder: string) =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const file = `/proc/${pid}/cmdline`
      return existsSync(file) && readFileSync(file, "utf8").includes(folder)
    })

describeCluster("a cluster", (shared) => {
  it.live("accepts only its password", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const settings = "SELECT current_user, current_database(), current_setting('fsync') AS fsync"
      expect(yield* cluster.query(settings)).toEqual([
        { current_user: "lottery", current_database: "lottery", fsync: "on" }
      ])
      const wrong = cluster.url().replace(cluster.password, "wrong")
      const { reason } = yield* Effect.flip(query(wrong, "SELECT 1"))
      expect(reason._tag).toBe("AuthenticationError")
      const log = yield* cluster.log
      expect(log).toContain("password authentication failed")
      expect(log).not.toContain(cluster.password)
    })
  )

  it.live("keeps committed data and its port after a crash", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      yield* cluster.query("CREATE TABLE kept AS SELECT generate_series(1, 3) AS n")
      yield* cluster.restart("immediate")
      expect(yield* cluster.query("SELECT n FROM kept")).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
      expect(yield* cluster.log).toContain("automatic recovery in progress")
      yield* cluster.restart("fast")
      expect(yield* cluster.query("SELECT count(*)::int AS n FROM kept")).toEqual([{ n: 3 }])
    })
  )

  it.live("refuses connections while it is stopped", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      yield* cluster.stop("fast")
      yield* cluster.stop("immediate")
      const { reason } = yield* Effect.flip(cluster.query("SELECT 1"))
      expect(reason._tag).toBe("ConnectionError")
      yield* cluster.start
      yield* cluster.start
      expect(yield* cluster.query("SELECT 1 AS n")).toEqual([{ n: 1 }])
    })
  )

  it.live("does not answer while it is paused, and answers everything afterwards", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      // One session that is already working, and one that connects during the pause.
      const working = yield* Effect.forkScoped(cluster.query("SELECT pg_sleep(0.3), 7 AS n"))
      yield* Effect.promise(() => sleep(100))
      yield* cluster.pause
      const asking = yield* Effect.forkScoped(cluster.query("SELECT 8 AS n"))
      yield* Effect.promise(() => sleep(500))
      expect([working.pollUnsafe(), asking.pollUnsafe()]).toEqual([undefined, undefined])
      yield* cluster.resume
      expect((yield* Fiber.join(working))[0]?.n).toBe(7)
      expect(yield* Fiber.join(asking)).toEqual([{ n: 8 }])
    })
  )

  it.live("can be crashed while it is paused", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      yield* cluster.pause
      yield* cluster.restart("immediate")
      expect(yield* cluster.query("SELECT 1 AS n")).toEqual([{ n: 1 }])
    })
  )

  it.live("has a URL for a schema", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      yield* cluster.query("CREATE SCHEMA somewhere")
      expect(cluster.url("somewhere")).toBe(`${cluster.url()}?options=-csearch_path%3Dsomewhere`)
      expect(yield* query(cluster.url("somewhere"), "SELECT current_schema()")).toEqual([
        { current_schema: "somewhere" }
      ])
    })
  )

  it.live("is removed with its scope, even if it hangs", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.scoped(
        Effect.gen(function* () {
          const cluster = yield* startCluster
          const [found] = yield* cluster.query("SELECT current_setting('data_directory') AS data")
          const folder = join(String(found?.data), "..")
          expect(processesOf(folder)).toHaveLength(1)
          expect(existsSync(folder)).toBe(true)
          yield* cluster.pause
          return folder
        })
      )
      expect(processesOf(folder)).toEqual([])
      expect(existsSync(folder)).toBe(false)
    })
  )
})

describePostgres("a fresh schema", (shared) => {
  const tables = "SELECT count(*)::int AS tables FROM pg_tables WHERE tablename = 'world'"

  it.live("is isolated from others", () =>
    Effect.gen(function* () {
      const { url } = yield* shared
      const [one, other] = [yield* freshSchema(url), yield* freshSchema(url)]
      yield* query(one, "CREATE TABLE world AS SELECT 1 AS n")
      yield* query(other, "CREATE TABLE world AS SELECT 2 AS n")
      expect(yield* query(one, "SELECT n FROM world")).toEqual([{ n: 1 }])
      expect(yield* query(other, "SELECT n FROM world")).toEqual([{ n: 2 }])
    })
  )

  it.live("is dropped with its content when its scope closes", () =>
    Effect.gen(function* () {
      const { url } = yield* shared
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* query(yield* freshSchema(url), "CREATE TABLE world (n int)")
          expect(yield* query(url, tables)).toEqual([{ tables: 1 }])
        })
      )
      expect(yield* query(url, tables)).toEqual([{ tables: 0 }])
    })
  )

  it.live("keeps the other parameters of the URL", () =>
    Effect.gen(function* () {
      const { url } = yield* shared
      const more = new URL(url)
      more.searchParams.set("application_name", "a name")
      more.searchParams.set("options", "-cwork_mem=1MB")
      const settings = ["application_name", "work_mem", "search_path"]
      const columns = settings.map((name) => `current_setting('${name}') AS ${name}`)
      const schema = yield* freshSchema(more.href)
      expect(schema).toContain("options=-cwork_mem%3D1MB%20-csearch_path%3Dtest_")
      expect(yield* query(schema, `SELECT ${columns.join(", ")}`)).toEqual([
        {
          application_name: "a name",
          work_mem: "1MB",
          search_path: expect.stringMatching(/^test_[0-9a-f]{16}$/)
        }
      ])
    })
  )
})
