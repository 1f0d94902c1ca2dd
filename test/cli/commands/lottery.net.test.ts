/**
 * Goal: the whole lottery as a user runs it, with separate processes: complete books, every
 * dialect, both stores, stops in the middle and restarts.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { type AddressInfo, createConnection, createServer } from "node:net"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { COMMAND, runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  AGENCIES,
  bookOf,
  clientArgs,
  exported,
  generate,
  inFolder,
  type Ports,
  STORES,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const CLOSING =
  /action: (signal_received|close_resource|exit) \| result: success(?: \| \w+: (\w+))?/

/** The actions in a log, starting at the signal. */
const closingOf = (log: string): Array<string> => {
  const lines = log.split("\n")
  const actions = lines
    .slice(lines.findIndex((line) => line.includes("signal_received")))
    .map((line) => CLOSING.exec(line))
  return actions.flatMap((match) => (match === null ? [] : [match.slice(1).join(" ").trim()]))
}

describe("the whole lottery", () => {
  for (const [store, dialects] of [
    ["sqlite:lottery.db", ["native", "binary", "json", "native", "native"]],
    ["csv:bets.csv", ["json", "native", "native", "binary", "native"]]
  ] as const) {
    it.live(`with ${store}, in every dialect`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* generate(folder, 3000)
        const url = inFolder(folder, store)
        const server = yield* startServer({ store: url, more: ["--once"] })
        const outcomes = yield* Effect.forEach(
          AGENCIES,
          (agency) =>
            runLottery({ args: clientArgs(folder, agency, server, dialects[agency - 1]!) }),
          { concurrency: "unbounded" }
        )
        for (const agency of AGENCIES) {
          const { code, stderr, stdout } = outcomes[agency - 1]!
          expect({ code, stdout }, stderr).toEqual({
            code: 0,
            stdout: winnersOf(bookOf(folder, agency))
          })
          expect(yield* exported(url, agency)).toBe(bookOf(folder, agency))
        }
        const { code, stderr } = yield* server.outcome
        expect(code).toBe(0)
        expect(stderr.match(/action: sorteo \| result: success/g)?.length).toBe(1)
        expect(stderr).toMatch(/action: server_done \| result: success/)
        expect(stderr).not.toContain("result: fail")
      })
    )
  }

  it.live("with one bet from the environment, as the course's first client", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const server = yield* startServer({
        store: `sqlite:${folder}/lottery.db`,
        more: ["--agencies", "1", "--once"]
      })
      const { code, stderr, stdout } = yield* runLottery({
        args: ["client", "--server", `127.0.0.1:${server.port}`],
        env: {
          CLI_ID: "1",
          NOMBRE: "Santiago Lionel",
          APELLIDO: "Lorca",
          DOCUMENTO: "30904465",
          NACIMIENTO: "1999-03-17",
          NUMERO: "7574"
        }
      })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "30904465\n" })
      expect(stderr).toMatch(/apuesta_enviada \| result: success \| dni: 30904465 \| numero: 7574/)
      expect((yield* server.outcome).stderr).toMatch(
        /apuesta_almacenada \| result: success \| dni: 30904465 \| numero: 7574/
      )
    })
  )
})

describe("stopping in the middle", () => {
  for (const store of STORES) {
    it.live(`keeps acknowledged bets, and a restart resumes there: ${store}`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* generate(folder, 20_000)
        const url = inFolder(folder, store)
        const server = yield* startServer({ store: url })
        const uploads = yield* Effect.forEach(AGENCIES, (agency) =>
          startLottery({ args: clientArgs(folder, agency, server, "binary") })
        )
        for (const upload of uploads) yield* upload.logged(/apuestas_enviadas/)
        yield* server.signal("SIGTERM")
        const stopped = yield* server.outcome
        expect(stopped.code).toBe(0)
        expect(closingOf(stopped.stderr)).toEqual([
          "signal_received SIGTERM",
          "close_resource connections",
          "close_resource bets_port",
          "close_resource winners_port",
          "close_resource store",
          "exit"
        ])
        let heldOfAll = 0
        for (const agency of AGENCIES) {
          const upload = uploads[agency - 1]!
          yield* upload.logged(/action: connection \| result: fail/)
          yield* upload.signal("SIGTERM")
          const { code, stderr } = yield* upload.outcome
          expect(code).toBe(0)
          const acknowledged = [...stderr.matchAll(/apuestas_enviadas .* cantidad: (\d+)/g)]
          const sent = acknowledged.reduce((sum, match) => sum + Number(match[1]), 0)
          const held = yield* exported(url, agency)
          const book = bookOf(folder, agency)
          const bets = held.split("\n").length - 1
          expect(bets).toBeGreaterThanOrEqual(sent)
          expect(book.startsWith(held)).toBe(true)
          heldOfAll += bets
        }
        // The stop must happen in the middle of the books.
        expect(heldOfAll).toBeGreaterThan(0)
        expect(heldOfAll).toBeLessThan(100_000)

        const again = yield* startServer({ store: url, more: ["--once"] })
        const outcomes = yield* Effect.forEach(
          AGENCIES,
          (agency) => runLottery({ args: clientArgs(folder, agency, again, "json") }),
          { concurrency: "unbounded" }
        )
        for (const agency of AGENCIES) {
          const book = bookOf(folder, agency)
          expect(outcomes[agency - 1]!.stdout).toBe(winnersOf(book))
          expect(yield* exported(url, agency)).toBe(book)
        }
        expect((yield* again.outcome).stderr).toMatch(/apuesta_recibida .* repetidas: \d+/)
      })
    )
  }

  it.live("ends a client that waits for the draw; one that loses its server keeps waiting", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 10)
      const server = yield* startServer({ store: `sqlite:${folder}/lottery.db` })
      const client = yield* startLottery({ args: clientArgs(folder, 1, server, "binary") })
      yield* client.logged(/apuestas_enviadas/)
      yield* client.signal("SIGINT")
      const outcome = yield* client.outcome
      expect(outcome.code).toBe(130)
      expect(outcome.stdout).toBe("")
      expect(closingOf(outcome.stderr)).toEqual([
        "signal_received SIGINT",
        "close_resource connection",
        "exit"
      ])
      const other = yield* startLottery({ args: clientArgs(folder, 2, server, "binary") })
      yield* other.logged(/apuestas_enviadas/)
      yield* server.signal("SIGINT")
      expect((yield* server.outcome).code).toBe(0)
      yield* other.logged(/connection .* error: connection lost: the server closed it/)
      yield* other.signal("SIGINT")
      expect((yield* other.outcome).code).toBe(130)
    })
  )

  it.live("does not keep a client from printing winners that it has", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      // Printing takes longer than the log's delay, so the signal comes during it.
      const book = "Ana,Rojas,1,1999-03-17,7574\n".repeat(60_000)
      writeFileSync(join(folder, "agency-1.csv"), book)
      const server = yield* startServer({
        store: `csv:${folder}/bets.csv`,
        more: ["--agencies", "1,"]
      })
      const client = yield* startLottery({ args: clientArgs(folder, 1, server, "native") })
      yield* client.logged(/consulta_ganadores/)
      yield* client.signal("SIGINT")
      const { code, stdout } = yield* client.outcome
      expect({ code, printed: stdout.length }).toEqual({ code: 0, printed: 120_000 })
    })
  )
})

describe("a server that is started again", () => {
  it.live(
    "sends the winners of the recorded draw, and exits at once if all agencies have them",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* generate(folder, 500)
        const url = `sqlite:${folder}/lottery.db`
        const options = ["--agencies", "2", "--winning-number", "1"]
        const server = yield* startServer({ store: url, more: options })
        const play = (agency: number, ports: Ports) =>
          runLottery({ args: clientArgs(folder, agency, ports, "json") })
        yield* Effect.forEach([1, 2], (agency) => play(agency, server), { concurrency: 2 })
        yield* server.signal("SIGKILL")
        yield* server.outcome

        const again = yield* startServer({ store: url, more: options })
        for (const agency of [1, 2]) {
          const { stdout } = yield* play(agency, again)
          expect(stdout).toBe(winnersOf(bookOf(folder, agency), 1))
        }
        yield* again.signal("SIGTERM")
        expect((yield* again.outcome).stderr).not.toMatch(/action: sorteo/)

        const done = yield* startServer({ store: url, more: [...options, "--once"] })
        expect((yield* done.outcome).stderr).toMatch(/server_done/)
      })
  )

  it.live("refuses to start with other agencies or another number, and names both", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const url = `csv:${folder}/bets.csv`
      const server = yield* startServer({ store: url, more: ["--agencies", "3"] })
      yield* server.signal("SIGTERM")
      yield* server.outcome
      for (const options of [
        ["--agencies", "4"],
        ["--agencies", "3", "--winning-number", "1"]
      ]) {
        const { code, stderr } = yield* runLottery({
          args: ["server", "--port", "0", "--store", url, ...options]
        })
        expect(code).toBe(1)
        expect(stderr).toMatch(/CRITICAL .*opened with agencies 1, 2, 3 and winning number 7574/)
        expect(stderr).toMatch(
          /started with agencies 1, 2, 3(, 4)? and winning number (7574|1); use the same terms/
        )
      }
    })
  )

  it.live(
    "refuses to start next to another one: first because of the store, then of the port",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const server = yield* startServer({ store: `sqlite:${folder}/a.db` })
        const sameStore = yield* runLottery({
          args: ["server", "--port", "0", "--store", `sqlite:${folder}/a.db`]
        })
        expect(sameStore.code).toBe(1)
        expect(sameStore.stderr).toContain(`in use by process ${server.child.pid}`)
        const samePort = yield* runLottery({
          args: [
            "server",
            ...[
              "--host",
              "127.0.0.1",
              "--port",
              `${server.port}`,
              "--store",
              `sqlite:${folder}/b.db`
            ]
          ]
        })
        expect(samePort.code).toBe(1)
        expect(samePort.stderr).toMatch(/cannot listen on 127.0.0.1:\d+: the port is in use\n/)
        expect(samePort.stderr).not.toMatch(/ at .*\.js/)
        // It creates no store, because the port or the store may be a mistake.
        expect(readdirSync(folder).filter((name) => name.startsWith("b.db"))).toEqual([])
      })
  )
})

describe("a client with a single bet", () => {
  const partial = { CLI_ID: "1", NOMBRE: "Ana" }

  it.live("needs all fields, and lists the missing ones and how to give them", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* runLottery({ args: ["client"], env: partial })
      expect(code).toBe(2)
      expect(stderr).toContain("missing: --last-name or APELLIDO, --document or DOCUMENTO")
    })
  )

  it.live("sends the book instead if one is given", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* runLottery({
        args: ["client", "--bets", "no-such-book.csv"],
        env: partial
      })
      expect(code).toBe(1)
      expect(stderr).toContain("no-such-book.csv: no such file")
    })
  )
})

describe("a client", () => {
  it.live("sends nothing if a line is bad; with --rejects it sends the others", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const book = join(folder, "agency-1.csv")
      const good = "Ana,Perez,1,1999-03-17,7574\n"
      writeFileSync(book, `${good}Ana,Perez,x,1999-03-17,1\n${good}`)
      const url = `sqlite:${folder}/lottery.db`
      const server = yield* startServer({ store: url, more: ["--agencies", "1,", "--once"] })
      const args = clientArgs(folder, 1, server, "binary")
      const refused = yield* runLottery({ args })
      expect(refused.code).toBe(1)
      expect(refused.stderr).toContain(`${book}:2: document: expected 1 to 10 digits, got "x"\n`)
      expect(yield* exported(url, 1)).toBe("")
      const rejects = join(folder, "rejects.csv")
      const { code, stdout } = yield* runLottery({ args: [...args, "--rejects", rejects] })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "1\n1\n" })
      expect(readFileSync(rejects, "utf8")).toBe("Ana,Perez,x,1999-03-17,1\n")
      expect(yield* exported(url, 1)).toBe(good + good)
    })
  )

  it.live("names the line that its dialect cannot carry, before it connects", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const nowhere = { port: 1, winnersPort: 1 }
      for (const [dialect, name] of [
        ["binary", "A;a"],
        ["json", '"A,a"']
      ] as const) {
        writeFileSync(join(folder, "agency-1.csv"), `${name},Perez,1,1999-03-17,7574\n`)
        const { code, stderr } = yield* runLottery({
          args: clientArgs(folder, 1, nowhere, dialect)
        })
        expect(code).toBe(1)
        expect(stderr).toMatch(/agency-1.csv:1: first name: a name cannot contain "[;,]" in the/)
      }
    })
  )

  it.live("reports in one line that it found no server in time", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 1)
      const { code, stderr } = yield* runLottery({
        args: [
          ...clientArgs(folder, 1, { port: 1, winnersPort: 1 }, "binary"),
          ...["--timeout", "500ms"]
        ]
      })
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /CRITICAL no winners after 500ms: cannot reach 127.0.0.1:1: connect ECONNREFUSED/
      )
    })
  )

  it.live("gives up after --timeout", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 1)
      const server = yield* startServer({ store: `sqlite:${folder}/lottery.db` })
      const { code, stderr } = yield* runLottery({
        args: [...clientArgs(folder, 1, server, "binary"), "--timeout", "300ms"]
      })
      expect(code).toBe(1)
      expect(stderr).toContain("no winners after 300ms")
    })
  )
})

describe("export", () => {
  it.live("prints the bets of every agency, each with its agency, while a server runs", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 20)
      for (const store of STORES) {
        const url = inFolder(folder, store)
        const server = yield* startServer({ store: url })
        for (const agency of [2, 1]) {
          const client = yield* startLottery({
            args: clientArgs(folder, agency, server, "binary")
          })
          yield* client.logged(/apuestas_enviadas/)
        }
        const { stdout } = yield* runLottery({ args: ["export", "--store", url] })
        const expected = [1, 2].flatMap((agency) =>
          bookOf(folder, agency)
            .split("\n")
            .slice(0, -1)
            .map((line) => `${agency},${line}\n`)
        )
        expect(stdout).toBe(expected.join(""))
      }
    })
  )

  it.live("exits quietly if its reader stops", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 20_000)
      const url = `sqlite:${folder}/lottery.db`
      const server = yield* startServer({ store: url, more: ["--agencies", "1,", "--once"] })
      yield* runLottery({ args: clientArgs(folder, 1, server, "json") })
      const command = `"${process.execPath}" "${COMMAND}" export --store ${url}`
      const script = `${command} | head -1; echo \${PIPESTATUS[0]}`
      const { stderr, stdout } = spawnSync("bash", ["-c", script], { encoding: "utf8" })
      expect(stderr).toBe("")
      expect(stdout).toMatch(/^1,.*\n0\n$/)
    })
  )
})

describe("demo", () => {
  const demo = (folder: string, ...args: ReadonlyArray<string>) => ({
    args: ["demo", "--bets", "2000", ...args],
    env: { TMPDIR: folder, NOMBRE: "not the demo's", LOTTERY_STORE: "csv:nor-this.csv" }
  })

  it.live("shows five agencies and their winners, and leaves no files behind", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { code, stderr, stdout } = yield* runLottery(demo(folder))
      expect(code, stderr).toBe(0)
      expect(stdout).toMatch(/agency +bets +winners +time/)
      expect(stdout.match(/^ +[1-5] +2000 +\d+ +\d+\.\d\d s/gm)?.length).toBe(5)
      expect(readdirSync(folder)).toEqual([])
    })
  )

  it.live("fails if one of its processes is stopped, and does not wait for it", () =>
    Effect.gen(function* () {
      const folder = join(yield* temporaryFolder, "tmp")
      mkdirSync(folder)
      const running = yield* startLottery(demo(folder, "--clients", "20"))
      // Clients start a few at a time: the ones that run now wait for the last.
      yield* running.logged(/acknowledged/)
      const pid = running.child.pid!
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")
      process.kill(Number(children[1]), "SIGTERM")
      const { code, stderr } = yield* running.outcome
      expect(code).toBe(1)
      expect(stderr).toMatch(/CRITICAL agency \d+ failed: it was stopped/)
      expect(readdirSync(folder)).toEqual([])
    })
  )

  it.live("leaves no files behind after SIGINT", () =>
    Effect.gen(function* () {
      const folder = join(yield* temporaryFolder, "tmp")
      mkdirSync(folder)
      const running = yield* startLottery(demo(folder, "--clients", "20"))
      yield* running.logged(/acknowledged/)
      yield* running.signal("SIGINT")
      expect((yield* running.outcome).code).toBe(130)
      expect(readdirSync(folder)).toEqual([])
    })
  )
})

it.live("the built server echoes a line and answers a ping", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const server = yield* startServer({ store: `sqlite:${folder}/lottery.db` })
    const echoed = yield* Effect.callback<string>((resume) => {
      let heard = ""
      const socket = createConnection({ host: "127.0.0.1", port: server.port })
      socket.end("PING\n")
      socket.on("data", (chunk) => {
        heard += chunk
      })
      socket.on("close", () => resume(Effect.succeed(heard)))
    })
    expect(echoed).toBe("PING\n")
    const { code } = yield* runLottery({
      args: ["ping", "--server", `127.0.0.1:${server.winnersPort}`]
    })
    expect(code).toBe(0)
  })
)

it.live("ping waits for a server that starts later, and no longer than it is told", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const first = yield* startServer({ store: `sqlite:${folder}/lottery.db` })

    yield* first.signal("SIGTERM")
    yield* first.outcome
    const args = ["ping", "--server", `127.0.0.1:${first.port}`]
    const given = yield* runLottery({ args: [...args, "--wait", "300ms"] })
    expect([given.code, given.stderr.match(/ECONNREFUSED/g)?.length]).toEqual([1, 1])
    const waiting = yield* startLottery({ args: [...args, "--wait", "20s"] })
    yield* waiting.logged(/action: config/)
    yield* Effect.sleep("500 millis")
    yield* startServer({ store: `sqlite:${folder}/lottery.db`, ports: first })
    expect((yield* waiting.outcome).code).toBe(0)
  })
)

it.live("ping tries once without --wait", () =>
  Effect.gen(function* () {
    let connections = 0
    const closing = createServer((socket) => {
      connections++
      socket.destroy()
    })
    yield* Effect.callback<void>((resume) => {
      closing.listen(0, "127.0.0.1", () => resume(Effect.void))
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => closing.close()))
    const { port } = closing.address() as AddressInfo
    const { code } = yield* runLottery({ args: ["ping", "--server", `127.0.0.1:${port}`] })
    expect([code, connections]).toEqual([1, 1])
  })
)
