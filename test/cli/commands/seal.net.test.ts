/**
 * Goal: `lottery seal` and `lottery result` write what the server signed, once it exists, and
 * refuse before. Method: the built command with a real server and clients; the operator's public
 * key verifies the texts.
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { describe, expect } from "vitest"
import { isBook } from "../../../src/domain/seal/Seal.ts"
import { openResult } from "../../../src/protocol/notes/DrawResult.ts"
import { openSealFile } from "../../../src/protocol/notes/SealFile.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  generate,
  inFolder,
  STORES,
  startServer
} from "../../support/processes/lotteryParties.ts"
import { sealFlags, verifierKey } from "../../support/sealKey.ts"
import { describePostgres, freshSchema } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const DRAW = ["--draw", "sunday"]

const writerOf =
  (store: string) =>
  (command: "seal" | "result", ...more: ReadonlyArray<string>) =>
    runLottery({ args: [command, "--store", store, ...DRAW, ...more] })

/** A sealed draw with an announced number, from its opening to its result. */
const sealsAndTells = Effect.fnUntraced(function* (store: string) {
  const folder = yield* temporaryFolder
  const write = writerOf(store)
  const expectRefused = Effect.fnUntraced(function* (command: "seal" | "result", reason: string) {
    const out = join(folder, `no.${command}`)
    for (const more of [[], ["--out", out]]) {
      const outcome = yield* write(command, ...more)
      expect(outcome).toMatchObject({ code: 1, stdout: "" })
      expect(outcome.stderr).toMatch(/^\S+ \S+ CRITICAL [^\n]*\n$/)
      expect(outcome.stderr).toContain(reason)
    }
    expect(existsSync(out)).toBe(false)
  })
  yield* generate(folder, 300, 7, 2)
  const more = ["--agencies", "2", "--number-from", "announced", "--once", ...DRAW]
  const server = yield* startServer({ store, more: [...more, ...sealFlags(folder)] })
  yield* expectRefused("seal", "the draw sunday is not sealed yet")
  yield* expectRefused("result", "the draw sunday has no signed result yet")
  const clients = yield* Effect.forEach([1, 2], (agency) =>
    startLottery({ args: [...clientArgs(folder, agency, server, "native"), ...DRAW] })
  )
  yield* server.logged(/action: draw_sealed/)

  const sealed = yield* write("seal")
  expect(sealed).toMatchObject({ code: 0, stderr: "" })
  const opened = Result.getOrThrow(openSealFile(sealed.stdout, verifierKey))
  expect(opened.seal).toMatchObject({ draw: "sunday", source: { _tag: "announced" } })
  expect(opened.seal.agencies.filter(isBook).map(({ sha256 }) => sha256)).toEqual(
    [1, 2].map((agency) => createHash("sha256").update(bookOf(folder, agency)).digest("hex"))
  )
  yield* expectRefused("result", "the draw sunday has no signed result yet")

  const announce = ["draw", "--store", store, ...DRAW, "--number", "42", "--yes"]
  expect(yield* runLottery({ args: announce })).toMatchObject({ code: 0 })
  for (const client of clients) expect(yield* client.outcome).toMatchObject({ code: 0 })
  expect(yield* server.outcome).toMatchObject({ code: 0 })

  const result = yield* write("result")
  expect(result).toMatchObject({ code: 0, stderr: "" })
  const told = Result.getOrThrow(openResult(result.stdout, verifierKey))
  expect(told).toMatchObject({ draw: "sunday", number: 42, beacon: undefined })
  expect(Buffer.from(told.root)).toEqual(Buffer.from(opened.tree.root))
  const winnersIn = (agency: number) => bookOf(folder, agency).match(/,42\n/g)?.length ?? 0
  expect(told.winners).toEqual([1, 2].map((agency) => ({ agency, count: winnersIn(agency) })))

  for (const [command, { stdout }] of [
    ["seal", sealed],
    ["result", result]
  ] as const) {
    const out = join(folder, `sunday.${command}`)
    expect(yield* write(command, "--out", out)).toEqual({ code: 0, stdout: "", stderr: "" })
    expect(readFileSync(out, "utf8")).toBe(stdout)
  }
})

describe.each(STORES)("lottery seal and result on %s", (store) => {
  it.live("write what was signed", () =>
    Effect.flatMap(temporaryFolder, (folder) => sealsAndTells(inFolder(folder, store)))
  )

  it.live("refuse a draw without a key, and a missing store", () =>
    Effect.gen(function* () {
      const url = inFolder(yield* temporaryFolder, store)
      for (const command of ["seal", "result"] as const) {
        expect(yield* writerOf(url)(command)).toMatchObject({ code: 1, stdout: "" })
      }
      const server = yield* startServer({ store: url, more: DRAW })
      for (const command of ["seal", "result"] as const) {
        const { code, stderr, stdout } = yield* writerOf(url)(command)
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
        expect(stderr).toContain(
          "the draw sunday is not a sealed one: its server was started without --seal-key"
        )
      }
      yield* server.signal("SIGTERM")
    })
  )
})

describePostgres("lottery seal and result on PostgreSQL", (database) => {
  it.live("write what was signed", () =>
    Effect.gen(function* () {
      const { url } = yield* database
      yield* sealsAndTells(yield* freshSchema(url))
    })
  )
})
