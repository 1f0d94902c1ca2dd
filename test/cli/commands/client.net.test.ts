/**
 * Goal: a client uploads its book and gets its winners even if the server is killed, and explains
 * clearly what only a person can fix. Method: the built command.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { COMMAND, runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  exported,
  inFolder,
  STORES,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const DIALECTS = ["native", "binary", "json"] as const

const AGENCY_1 = ["--agencies", "1,"]

/** Writes the book of agency 1 and returns its rows. */
const writeBook = Effect.fnUntraced(function* (folder: string, bets: number) {
  yield* runLottery({ args: ["generate", ...AGENCY_1, "--bets", `${bets}`, "--out", folder] })
  return bookOf(folder, 1)
})

const replaceBook = (folder: string, rows: string) =>
  writeFileSync(join(folder, "agency-1.csv"), rows)

describe("a server that is killed", () => {
  for (const dialect of DIALECTS) {
    for (const store of STORES) {
      it.live(`in the middle of a book and restarted: ${dialect}, ${store}`, () =>
        Effect.gen(function* () {
          const folder = yield* temporaryFolder
          const book = yield* writeBook(folder, 60_000)
          const url = inFolder(folder, store)
          const server = yield* startServer({ store: url, more: AGENCY_1 })
          const client = yield* startLottery({
            args: [...clientArgs(folder, 1, server, dialect), "--batch", "100"]
          })
          yield* client.logged(/apuestas_enviadas/)
          yield* server.signal("SIGKILL")
          yield* server.outcome
          yield* client.logged(
            /WARNING +action: connection \| result: fail \| agencia: 1 \| error: /
          )
          const before = (yield* exported(url, 1)).split("\n").length - 1
          // The kill must happen in the middle of the book.
          expect(before).toBeGreaterThan(0)
          expect(before).toBeLessThan(60_000)
          yield* startServer({ store: url, ports: server, more: AGENCY_1 })
          const { code, stderr, stdout } = yield* client.outcome
          expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: winnersOf(book) })
          expect(yield* exported(url, 1)).toBe(book)
          const resumed = /upload_resumed \| result: success \| agencia: 1 \| posicion: (\d+)/
          const position = resumed.exec(stderr)?.[1]
          expect(position).toBe(dialect === "native" ? `${before}` : undefined)
        })
      )
    }
  }
})

describe("an agency", () => {
  it.live("learns where the stored book differs, and what to do", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const book = yield* writeBook(folder, 3000)
      const store = `sqlite:${folder}/lottery.db`
      const server = yield* startServer({ store, more: AGENCY_1 })
      const client = { args: clientArgs(folder, 1, server, "native") }
      yield* runLottery(client)
      const rows = book.split("\n")
      rows[1234] = rows[1234]!.replace(/\d+$/, (number) => `${(Number(number) + 1) % 10_000}`)
      replaceBook(folder, rows.join("\n"))
      const differs = yield* runLottery(client)
      expect(differs.code).toBe(1)
      expect(differs.stderr).toMatch(
        /CRITICAL agency 1: the server has a different book of 3000 bets; this one has 3000, and /
      )
      expect(differs.stderr).toMatch(
        /at \S+agency-1\.csv:1235\. .*: lottery discard --store URL .* start this client again\n$/
      )
      replaceBook(folder, `${book}Ana,Perez,1,1999-03-17,7574\n`)
      const longer = yield* runLottery(client)
      expect(longer.code).toBe(1)
      expect(longer.stderr).toContain("identical up to bet 3000, where the server's ends")
      expect(yield* exported(store, 1)).toBe(book)
    })
  )

  it.live("learns that the server is for another draw", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* writeBook(folder, 1)
      const store = `sqlite:${folder}/lottery.db`
      const server = yield* startServer({ store, more: [...AGENCY_1, "--draw", "may"] })
      const args = clientArgs(folder, 1, server, "native")
      const { code, stderr } = yield* runLottery({ args })
      expect(code).toBe(1)
      expect(stderr).toMatch(/CRITICAL the server refused \(WrongDraw\): .*\n$/)
      const right = yield* runLottery({ args: [...args, "--draw", "may"] })
      expect(right.code).toBe(0)
    })
  )

  it.live("can use all dialects, native by default", () =>
    Effect.gen(function* () {
      const { stdout } = yield* runLottery({ args: ["client", "--help"] })
      expect(stdout).toMatch(/--dialect .*\(default native; .*\) \(choices: native, binary, json\)/)
      expect(stdout).toMatch(/--draw /)
    })
  )
})

/** Runs a command on a terminal of this width and returns what the terminal gets. */
const onTerminal = (columns: number, args: ReadonlyArray<string>, stdout = "/dev/tty"): string => {
  const command = [process.execPath, COMMAND, ...args].map((word) => `'${word}'`).join(" ")
  const shell = `stty cols ${columns}; ${command} > '${stdout}'`
  const env = { PATH: process.env.PATH, TERM: "xterm", TZ: "UTC" }
  return spawnSync("script", ["-qec", shell, "/dev/null"], { encoding: "utf8", env }).stdout
}
const hasTerminals = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0
if (!hasTerminals) console.warn("skipped: there is no `script` here to run a terminal")

const drawn = (text: string): string => `\r\u001b[?7l${text}\u001b[?7h\u001b[J`

describe.skipIf(!hasTerminals)("on a terminal", () => {
  it.live("a client draws its progress in the last line, within the width, and erases it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* writeBook(folder, 1)
      const nowhere = clientArgs(folder, 1, { port: 1, winnersPort: 1 }, "native")
      const args = [...nowhere, "--timeout", "500ms"]
      const shown = onTerminal(20, args)
      expect(shown).toContain(drawn("connecting"))
      expect(shown).toContain(drawn("no connection; tr"))
      // The warning is written above the line, which is redrawn.
      expect(shown).toMatch(/\r\u001b\[J\S+ \S+ WARNING .*\r?\n\u001b\[\?7lconnecting/)
      expect(shown).toMatch(/\r\u001b\[J\S+ \S+ CRITICAL no winners after 500ms.*\s+$/)
      expect(onTerminal(80, args)).toContain(drawn("no connection; trying again"))
    })
  )

  it.live("a client shows one line at the end instead of a line for each batch", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const book = yield* writeBook(folder, 3000)
      const server = yield* startServer({ store: inFolder(folder, STORES[0]), more: AGENCY_1 })
      const args = [...clientArgs(folder, 1, server, "native"), "--batch", "100"]
      const winners = winnersOf(book)
      const count = winners.split("\n").length - 1
      const shown = onTerminal(80, args)
      expect(shown).not.toContain("apuestas_enviadas")
      expect(shown).not.toContain("consulta_ganadores")
      const documents = winners.replaceAll("\n", "\r?\n")
      const end = `agency 1: 3000 bets in .* s, \\d+/s; ${count} winners?\r?\n$`
      expect(shown).toMatch(new RegExp(documents + end))
      // Only standard error needs to be a terminal.
      const file = join(folder, "winners")
      const again = onTerminal(80, [...args, "--log-level", "debug"], file)
      expect(again).toContain(
        `consulta_ganadores | result: success | cant_ganadores: ${count} | agencia: 1`
      )
      expect(again).toMatch(/agency 1: 3000 bets, stored before; \d+ winners?\r?\n$/)
      expect(readFileSync(file, "utf8")).toBe(winners)
    })
  )
})

it.live.each(DIALECTS)("nothing of that appears in a log: %s", (dialect) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const book = yield* writeBook(folder, 3000)
    const server = yield* startServer({ store: inFolder(folder, STORES[0]), more: AGENCY_1 })
    const args = [...clientArgs(folder, 1, server, dialect), "--batch", "100"]
    const { stderr, stdout } = yield* runLottery({ args })
    const winners = winnersOf(book)
    expect(stdout).toBe(winners)
    expect(stderr).not.toMatch(/\u001b|\r|agency 1:/)
    const action = "action: apuestas_enviadas | result: success | agencia: 1 | cantidad: 100\n"
    expect(stderr.split(action)).toHaveLength(31)
    const count = winners.split("\n").length - 1
    expect(stderr).toContain(
      `consulta_ganadores | result: success | cant_ganadores: ${count} | agencia: 1\n`
    )
  })
)

it.live("--rejects neither empties a book on standard input nor makes it look empty", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const book = join(folder, "book.csv")
    writeFileSync(book, "bad\n")
    const args = ["client", "--agency", "1", "--server", "127.0.0.1:1", "--bets", "-"]
    const from = (file: string) => ["sh", "-c", `exec "$0" "$@" < ${file}`]
    const output = join(folder, "output")
    const onto = ["sh", "-c", `exec "$0" "$@" < /dev/null > ${output}`]
    const [same, onOutput, none, noStream] = yield* Effect.all(
      [
        runLottery({ args: [...args, "--rejects", book], under: from(book) }),
        runLottery({ args: [...args, "--rejects", output], under: onto }),
        runLottery({ args, under: from("/dev/null") }),
        runLottery({ args: [...args, "--allow-empty"], under: from("/") })
      ],
      { concurrency: 5 }
    )
    expect(same.code).toBe(1)
    expect(same.stderr).toContain(`CRITICAL ${book}: is standard input of this process`)
    expect(readFileSync(book, "utf8")).toBe("bad\n")
    expect(onOutput.stderr).toContain(`CRITICAL ${output}: is standard output of this process`)
    expect(none.code).toBe(1)
    expect(none.stderr).toContain("CRITICAL standard input: no bets; nothing was sent")
    expect(noStream.code).toBe(1)
    expect(noStream.stderr).toContain("CRITICAL standard input: is neither a file nor a stream")
  })
)

it.live("a client warns of an empty book and sends it", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    replaceBook(folder, "")
    const server = yield* startServer({ store: inFolder(folder, STORES[0]), more: AGENCY_1 })
    const { code, stderr, stdout } = yield* runLottery({
      args: [...clientArgs(folder, 1, server, "native"), "--allow-empty"]
    })
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "" })
    expect(stderr).toMatch(/ WARNING +\S*agency-1\.csv: no bets; sending an empty book\n/)
  })
)

it.live("a client warns of a single bet in the environment if there is a book", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    mkdirSync(join(folder, ".data"))
    replaceBook(join(folder, ".data"), "Eva,Paz,2,1999-03-17,7\n")
    const person = { NOMBRE: "Ana", APELLIDO: "Paz", DOCUMENTO: "1" }
    const env = { ...person, NACIMIENTO: "1999-03-17", NUMERO: "7" }
    const args = ["client", "--agency", "1", "--server", "127.0.0.1:1", "--timeout", "1ms"]
    const { stderr } = yield* runLottery({ args, env, cwd: folder })
    expect(stderr).toContain(
      "WARNING  sending the single bet from the environment, not .data/agency-1.csv; " +
        "to send the file, use --bets"
    )
  })
)
