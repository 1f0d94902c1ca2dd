/**
 * Goal: the package needs nothing but Node, and says which Node it needs. Method: npm packs and
 * installs it without a registry, and the command is run by its name.
 */
import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs"
import { join } from "node:path"
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import packageJson from "../../../package.json" with { type: "json" }
import { InstalledPackage } from "../../support/processes/InstalledPackage.ts"
import { instead, olderNode, pathWith, runLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  generate,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { freshSchema, hasInitdb, testDatabase } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const MAX_BYTES = 5 * 1024 * 1024
const LOADED =
  /^dist\/command-[1-9a-f][0-9a-f]*\/([\w-]+\.cjs(\.compiled)?|worker\.mjs|board\.\w+)$/
/** Its licence requires its notice with every copy. */
const BUNDLED = ["effect", "@effect/platform-node", "@effect/sql-pg", "@peculiar/x509", "asn1js"]
const NOT_BUNDLED = ["rolldown", "vitest", "fast-check", "undici", "typescript"]

/** Runs the installed command by its name, on the Node in the PATH. */
const installed = Effect.fnUntraced(function* (node: string) {
  const { command } = yield* InstalledPackage
  return { under: instead([command]), env: { PATH: pathWith(node) } }
})

const installing = { timeout: "120 seconds", excludeTestServices: true } as const

layer(InstalledPackage.layer, installing)("the package", (it) => {
  it.effect("contains the command, the files that it loads and the notices, and nothing else", () =>
    Effect.gen(function* () {
      const { modules } = yield* InstalledPackage
      const names = readdirSync(modules).filter((name) => !name.startsWith("."))
      expect(names).toEqual(["lottery"])
      const folder = realpathSync(join(modules, "lottery"))
      const held = readdirSync(folder, { recursive: true, encoding: "utf8" })
      const files = held.filter((path) => statSync(join(folder, path)).isFile())
      expect(files.filter((path) => !LOADED.test(path)).sort()).toEqual([
        ...["README.md", "dist/THIRD-PARTY-NOTICES", "dist/lottery.cjs", "package.json"]
      ])
      const bytes = files.reduce((sum, path) => sum + statSync(join(folder, path)).size, 0)
      expect(bytes).toBeLessThan(MAX_BYTES)
    })
  )

  it.effect("has the notice of every bundled package, and of no other", () =>
    Effect.gen(function* () {
      const { modules } = yield* InstalledPackage
      const file = join(modules, "lottery", "dist", "THIRD-PARTY-NOTICES")
      const [, ...notices] = readFileSync(file, "utf8").split(`\n\n${"-".repeat(80)}\n\n`)
      const titles = notices.map((notice) => /^(\S+) \d+\.\d+\.\d+ \([\w-]+\)\n/.exec(notice)?.[1])
      expect(titles).toEqual(expect.arrayContaining(BUNDLED))
      for (const name of NOT_BUNDLED) expect(titles).not.toContain(name)
      for (const notice of notices) expect(notice).toMatch(/copyright/i)
    })
  )

  it.effect("runs, as do the processes that it starts", () =>
    Effect.gen(function* () {
      const run = yield* installed(process.execPath)
      const version = yield* runLottery({ args: ["--version"], ...run })
      const stdout = `lottery v${packageJson.version}\n`
      expect(version).toEqual({ code: 0, stdout, stderr: "" })
      const demo = yield* runLottery({ args: ["demo", "--clients", "1", "--bets", "100"], ...run })
      expect(demo.code, demo.stderr).toBe(0)
    })
  )

  it.effect.skipIf(olderNode === undefined)("says which Node it needs", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* runLottery({
        args: ["--version"],
        ...(yield* installed(olderNode!))
      })
      expect(code).toBe(1)
      expect(stderr).toMatch(/^lottery needs Node 26 or later, but this is v\d+\.\d+\.\d+; .*\n$/)
      expect(packageJson.engines).toEqual({ node: ">=26" })
    })
  )

  const stores = {
    sqlite: Effect.map(temporaryFolder, (folder) => `sqlite:${folder}/lottery.db`),
    csv: Effect.map(temporaryFolder, (folder) => `csv:${folder}/bets.csv`),
    ...(hasInitdb && {
      postgres: Effect.flatMap(testDatabase, ({ url }) => freshSchema(url))
    })
  }
  for (const [name, makeStore] of Object.entries(stores)) {
    it.effect.runIf(process.env.LOTTERY_TEST_LONG)(`holds a draw on ${name}`, () =>
      Effect.gen(function* () {
        const run = yield* installed(process.execPath)
        const folder = yield* temporaryFolder
        yield* generate(folder, 2000)
        const more = ["--agencies", "1", "--once"]
        const server = yield* startServer({ store: yield* makeStore, more, ...run })
        const client = yield* runLottery({ args: clientArgs(folder, 1, server, "native"), ...run })
        const stdout = winnersOf(bookOf(folder, 1))
        expect(client, client.stderr).toMatchObject({ code: 0, stdout })
        expect((yield* server.outcome).code).toBe(0)
      })
    )
  }
})
