/**
 * Loaders for comparison, each into the same table with the same key and index, and the limits of
 * the machine.
 */
import { appendFileSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Effect } from "effect"
import { type PostgresCluster, query } from "../../test/support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../test/support/TemporaryFolder.ts"
import { freshPostgres } from "../measure/Cluster.ts"
import { startServer } from "../measure/Lottery.ts"
import * as Program from "../measure/Program.ts"

const PLAIN = join(import.meta.dirname, "..", "plain")

const node = (folder: string, script: string, ...args: ReadonlyArray<string>): Program.Command => ({
  command: process.execPath,
  args: [join(PLAIN, script), ...args],
  folder
})

/** Bets in the formats of the other loaders. */
export interface Prepared {
  readonly agencies: number
  readonly bets: number
  /** Table rows: draw, agency, position, and the bet. */
  readonly rows: string
  /** Rows of the CSV store. */
  readonly csv: string
}

/** Writes the bets of all books, one book after another, which is the order of the key. */
export const prepare = (folder: string, books: string, agencies: number) =>
  Effect.sync((): Prepared => {
    const [rows, csv] = [join(folder, `rows-${agencies}.csv`), join(folder, `bets-${agencies}.csv`)]
    let bets = 0
    for (let agency = 1; agency <= agencies; agency++) {
      const lines = readFileSync(join(books, `agency-${agency}.csv`), "utf8").split("\r\n")
      lines.pop()
      bets += lines.length
      appendFileSync(rows, lines.map((line, at) => `1,${agency},${at},${line}\n`).join(""))
      appendFileSync(csv, lines.map((line) => `${agency},${line}\r\n`).join(""))
    }
    return { agencies, bets, rows, csv }
  })

const ensureAll = (loaded: unknown, { bets }: Prepared) =>
  Number(loaded) === bets
    ? Effect.void
    : Effect.fail(new Program.ProgramFailed({ message: `loaded ${loaded} bets, not ${bets}` }))

const makeTables = Effect.fnUntraced(function* (store: string, { agencies }: Prepared) {
  const server = yield* startServer(yield* temporaryFolder, store, agencies)
  yield* server.stop
}, Effect.scoped)

/** Bets per second that `sqlite3` imports into a database with its default settings. */
export const sqliteImport = Effect.fnUntraced(function* (prepared: Prepared) {
  const folder = yield* temporaryFolder
  const [ours, file] = [join(folder, "ours.db"), join(folder, "bets.db")]
  yield* makeTables(`sqlite:${ours}`, prepared)
  yield* Effect.sync(() => {
    const [from, to] = [new DatabaseSync(ours), new DatabaseSync(file)]
    const made = from.prepare("select sql from sqlite_schema where sql is not null").all()
    for (const { sql } of made) to.exec(String(sql))
    from.close()
    to.close()
  })
  const args = ["-csv", file, `.import '${prepared.rows}' bets`]
  const { seconds } = yield* Program.run({ command: "sqlite3", args, folder })
  const database = new DatabaseSync(file)
  const loaded = database.prepare("select count(*) as bets from bets").get()?.bets
  database.close()
  yield* ensureAll(loaded, prepared)
  return prepared.bets / seconds
}, Effect.scoped)

const COLUMNS = "draw, agency, position, first_name, last_name, document, birthdate, number"

export const psqlCopy = Effect.fnUntraced(function* (cluster: PostgresCluster, prepared: Prepared) {
  const folder = yield* temporaryFolder
  const url = yield* freshPostgres(cluster)
  yield* makeTables(url, prepared)
  const copy = `\\copy bets (${COLUMNS}) from '${prepared.rows}' with (format csv)`
  const args = ["-X", "-v", "ON_ERROR_STOP=1", "-c", copy, url]
  const { seconds } = yield* Program.run({ command: "psql", args, folder })
  const [row] = yield* query(url, "select count(*)::float8 as bets from bets")
  yield* ensureAll(row?.bets, prepared)
  return prepared.bets / seconds
}, Effect.scoped)

/** Bets per second over loopback into a file, with one fdatasync per MiB. */
export const loopback = Effect.fnUntraced(function* ({ bets, csv }: Prepared) {
  const folder = yield* temporaryFolder
  const file = join(folder, "bets.csv")
  const receiver = yield* Program.start(node(folder, "receive.ts", file))
  const [, port] = yield* Program.awaitText(receiver, receiver.output, /"port":(\d+)/)
  const { seconds } = yield* Program.run(node(folder, "send.ts", port!, csv))
  if (statSync(file).size !== statSync(csv).size) {
    return yield* new Program.ProgramFailed({ message: "not all bytes arrived over loopback" })
  }
  return bets / seconds
}, Effect.scoped)

/** Bets per second appended to a file, with an fdatasync after each batch. */
export const writeAndSync = Effect.fnUntraced(function* ({ bets, csv }: Prepared, batch: number) {
  const folder = yield* temporaryFolder
  const step = Math.ceil((statSync(csv).size / bets) * batch)
  const { seconds } = yield* Program.run(
    node(folder, "writeAndSync.ts", csv, join(folder, "bets.csv"), `${step}`)
  )
  return bets / seconds
}, Effect.scoped)
