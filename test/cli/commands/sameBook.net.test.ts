/**
 * Goal: a book that is sent again must be the same, in every dialect. Equal rows are different
 * bets, batches may be split differently, and another book is refused at the first bet that
 * differs. Method: the built server and clients on books of 9,000 bets.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as M from "../../support/peers/messages.ts"
import * as RawPeer from "../../support/peers/RawPeer.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  exported,
  generate,
  heldBets,
  type Ports,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const BETS = 9_000
const DIALECTS = ["native", "binary", "json"] as const

/** Writes the book of agency 1, in which one row occurs three times. */
const writeRepeating = Effect.fnUntraced(function* (folder: string) {
  yield* generate(folder, BETS)
  const rows = bookOf(folder, 1).split("\n").slice(0, -1)
  const repeating = rows.with(101, rows[100]!).with(7_000, rows[100]!)
  writeBook(folder, repeating)
  return repeating
})

const writeBook = (folder: string, rows: ReadonlyArray<string>) =>
  writeFileSync(join(folder, "agency-1.csv"), rows.map((row) => `${row}\n`).join(""))

/** Sends bets as the first part of a book. */
const sendHalf = Effect.fnUntraced(function* (port: number, rows: ReadonlyArray<string>) {
  const peer = yield* RawPeer.connect(port)
  for (let start = 0; start < rows.length; start += 50) {
    const bets = rows.slice(start, start + 50).map((row) => row.split(","))
    yield* peer.send(M.packetOf(1, bets, true))
    expect(yield* peer.receive(2)).toEqual(M.STORED)
  }
}, Effect.scoped)

const client = (folder: string, ports: Ports, dialect: string, batch: number) => ({
  args: [...clientArgs(folder, 1, ports, dialect), "--batch", `${batch}`]
})

describe.each(DIALECTS)("a book in the %s dialect", (dialect) => {
  it.live("keeps equal rows, even if it is sent again in other batches", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const url = `csv:${folder}/bets.csv`
      const rows = yield* writeRepeating(folder)
      const server = yield* startServer({ store: url, more: ["--agencies", "1,"] })
      // The upload is cut off in the middle, repeated, and repeated again after the draw.
      const first = yield* startLottery(client(folder, server, dialect, 70))
      yield* first.logged(/apuestas_enviadas/)
      yield* first.signal("SIGKILL")
      yield* first.outcome
      const winners = winnersOf(bookOf(folder, 1))
      for (const batch of [333, 1000]) {
        const again = yield* runLottery(client(folder, server, dialect, batch))
        expect(again, again.stderr).toMatchObject({ code: 0, stdout: winners })
      }
      expect(yield* exported(url, 1)).toBe(rows.map((row) => `${row}\n`).join(""))
    })
  )

  it.live("is refused at the first bet that differs from the stored book, which stays", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const url = `sqlite:${folder}/lottery.db`
      const rows = yield* writeRepeating(folder)
      const server = yield* startServer({ store: url, more: ["--agencies", "2"] })
      // Half of the book is stored: the refused bets are before its end or span it.
      yield* sendHalf(server.port, rows.slice(0, 5_050))
      const books: ReadonlyArray<readonly [ReadonlyArray<string>, number]> = [
        [rows.with(5_000, rows[6_000]!), 5_000],
        [rows.with(4_000, rows[4_500]!).with(4_500, rows[4_000]!), 4_000],
        [rows.slice(0, 2_500), 2_500]
      ]
      for (const [book, position] of books) {
        writeBook(folder, book)
        const { code, stderr } = yield* runLottery(client(folder, server, dialect, 1000))
        expect(code).toBe(1)
        const place = book.length === position ? `bet ${position},` : `\\.csv:${position + 1}\\.`
        if (dialect === "native") expect(stderr).toMatch(new RegExp(place))
        if (dialect !== "binary") expect(stderr).toMatch(/lottery discard .*--agency 1/)
        // If its own book ends before a difference, the native client notices on its own.
        const isShorter = book.length === position
        if (dialect !== "native" || !isShorter) {
          yield* server.logged(new RegExp(`posicion: ${position} `))
        }
        expect(yield* heldBets(url)).toBe(5_050)
      }
    })
  )
})
