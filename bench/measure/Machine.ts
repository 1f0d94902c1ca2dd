/** Describes the machine and the software versions of a measurement. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { availableParallelism, cpus, loadavg, release, totalmem, type } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { hasInitdb, startCluster } from "../../test/support/stores/PostgresCluster.ts"

const PACKAGE = join(import.meta.dirname, "..", "..", "package.json")

export const isInstalled = (program: string): boolean =>
  spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0

const sqliteVersion = (): string => {
  const { stdout } = spawnSync("sqlite3", ["--version"], { encoding: "utf8" })
  return stdout ? `sqlite3 ${stdout.split(" ")[0]}` : "no sqlite3"
}

const postgresVersion = Effect.gen(function* () {
  if (!hasInitdb) return "no PostgreSQL"
  const cluster = yield* startCluster
  const [row] = yield* cluster.query("show server_version")
  return `PostgreSQL ${row?.server_version}`
}).pipe(Effect.scoped)

export const describe = Effect.gen(function* () {
  const { version } = JSON.parse(readFileSync(PACKAGE, "utf8")) as { version: string }
  const [load = 0] = loadavg()
  const gibibytes = (totalmem() / 2 ** 30).toFixed(1)
  const model = cpus()[0]?.model ?? "an unknown processor"
  return [
    `Machine: ${availableParallelism()} processors (${model}), ${gibibytes} GiB of memory, ` +
      `${type()} ${release()}.`,
    `Versions: lottery ${version}, Node ${process.versions.node}, ${sqliteVersion()} and ` +
      `${process.versions.sqlite} in Node, ${yield* postgresVersion}.`,
    `Date: ${new Date().toISOString().slice(0, 10)}; load before: ${load.toFixed(2)}.`
  ]
})
