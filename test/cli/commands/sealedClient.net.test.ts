/**
 * Goal: lottery client --seal-vkey prints winners only of a draw whose promises were kept; else it
 * exits with 1 and one line that names the broken promise. Method: the built command against a
 * scripted server that lies about one thing at a time.
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as ScriptedServer from "../../support/peers/ScriptedServer.ts"
import * as Sealed from "../../support/peers/SealedServer.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import { clockAt } from "../../support/processes/processClock.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const OTHER_ROWS = Sealed.rowsOf([["10", 7]])

/** The environment of a process whose clock shows ten minutes before the round. */
const BEFORE_ROUND = clockAt(1000 * Sealed.BEFORE_ROUND)

/** Starts a client of agency 3 with its book. */
const startClient = Effect.fnUntraced(function* (
  folder: string,
  port: number,
  more: ReadonlyArray<string> = ["--seal-vkey", Sealed.VKEY],
  env: Readonly<Record<string, string>> = {}
) {
  writeFileSync(join(folder, "book.csv"), Sealed.ROWS)
  const book = ["--agency", `${Sealed.AGENCY}`, "--bets", join(folder, "book.csv")]
  return yield* startLottery({
    args: ["client", ...book, "--server", `127.0.0.1:${port}`, ...more],
    env
  })
})

/** The line of the log that ends a failed command. */
const lastLine = (stderr: string) => stderr.trimEnd().split("\n").at(-1)

type Lie = (said: Sealed.Said) => Partial<Sealed.Said>

const LIES: Readonly<Record<string, readonly [Sealed.Honest, Lie, RegExp]>> = {
  "a receipt for another book": [
    Sealed.ANNOUNCED,
    () => ({ receipt: Sealed.receiptOf({ ...Sealed.ANNOUNCED, rows: OTHER_ROWS }) }),
    /the receipt is for another book: it says 1 bets, /
  ],
  "a seal without its book": [
    Sealed.ANNOUNCED,
    () => {
      const books = [Sealed.sealedBook(1, OTHER_ROWS), { agency: Sealed.AGENCY }]
      const { prove } = Sealed.signedSeal({ ...Sealed.ANNOUNCED, books })
      return { seal: [prove(0), prove(2)] }
    },
    /the seal does not have this book: its entry is "excluded 3"; /
  ],
  "a round in the past": [
    Sealed.AT_ROUND,
    () => ({}),
    /drand round 1000 was published at 2023-08-23T15:59:24Z, before this book was finished$/
  ],
  "a result that does not follow": [
    Sealed.FIXED,
    (said) => ({ number: 7, result: Sealed.resultOf(Sealed.FIXED, said, { number: 7 }) }),
    /the number does not follow: fixed\/6286 gives the number 6286, not 7$/
  ],
  "a winner left out": [
    Sealed.ANNOUNCED,
    ({ documents }) => ({ documents: documents.slice(1) }),
    /the winner 10 is left out: /
  ],
  "a winner added": [
    Sealed.ANNOUNCED,
    ({ documents }) => ({ documents: [...documents, "99"] }),
    /the winner 99 is added: /
  ]
}

describe("lottery client --seal-vkey", () => {
  for (const [lie, [honest, change, expected]] of Object.entries(LIES)) {
    it.live(`names the broken promise and prints no winners: ${lie}`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const server = yield* ScriptedServer.listen()
        const client = yield* startClient(folder, server.port)
        const said = Sealed.honestly(honest)
        const agency = yield* server.accept
        yield* Effect.forkChild(Sealed.serve(agency, Sealed.ROWS, { ...said, ...change(said) }))
        const { code, stderr, stdout } = yield* client.outcome
        expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: "" })
        expect(lastLine(stderr)).toMatch(/^\S+ \S+ CRITICAL +agency 3: broken promise: /)
        expect(lastLine(stderr)).toMatch(expected)
      })
    )
  }

  it.live("prints the winners of an honest draw and keeps the evidence", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const server = yield* ScriptedServer.listen()
      const evidence = join(folder, "kept", "draw")
      const flags = ["--seal-vkey", Sealed.VKEY, "--evidence", evidence]
      const client = yield* startClient(folder, server.port, flags)
      yield* Sealed.serve(yield* server.accept, Sealed.ROWS, Sealed.honestly(Sealed.ANNOUNCED))
      const { code, stderr, stdout } = yield* client.outcome
      expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "10\n12\n10\n" })
      expect(stderr).toMatch(/seal_received \| result: success \| agencia: 3 \| root: \S{44} \| so/)
      expect(stderr).toContain(`| seal_vkey: ${Sealed.VKEY} |`)
      expect(readdirSync(evidence).sort()).toEqual([
        "agency-3.book.tlog-proof",
        "agency-3.receipt",
        "agency-3.result",
        "agency-3.seal-head.tlog-proof"
      ])
    })
  )

  it.live("verifies a round of drand, and knows the seal of an earlier run", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const server = yield* ScriptedServer.listen()
      const said = Sealed.honestly(Sealed.AT_ROUND)
      const flags = ["--seal-vkey", Sealed.VKEY, "--evidence", join(folder, "kept")]
      const first = yield* startClient(folder, server.port, flags, BEFORE_ROUND)
      const agency = yield* server.accept
      yield* Sealed.takeBook(agency, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(agency)
      yield* Sealed.showSeal(agency, said)
      yield* first.logged(/seal_received .* round: 1000 \| round_at: 2023-08-23T15:59:24Z$/m)
      yield* first.signal("SIGKILL")
      yield* first.outcome
      // Without the shifted clock it is years after the round.
      const second = yield* startClient(folder, server.port, flags)
      const again = yield* server.accept
      yield* Sealed.takeFinished(again, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(again)
      yield* Sealed.showSeal(again, said)
      yield* Sealed.tellWinners(again, said)
      const { code, stderr, stdout } = yield* second.outcome
      expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "10\n12\n10\n" })
      expect(stderr).toContain("seal_received")
      expect(stderr).not.toContain("unproven")
    })
  )

  it.live("warns of a seal that it first sees after the round, and prints the winners", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const server = yield* ScriptedServer.listen()
      const client = yield* startClient(folder, server.port)
      const said = Sealed.honestly(Sealed.AT_ROUND)
      const agency = yield* server.accept
      yield* Sealed.takeFinished(agency, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(agency)
      yield* Sealed.showSeal(agency, said)
      yield* Sealed.tellWinners(agency, said)
      const { code, stderr, stdout } = yield* client.outcome
      expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "10\n12\n10\n" })
      expect(stderr).toMatch(/WARNING .*unproven: seen only after the round$/m)
    })
  )

  it.live("refuses another dialect, a witness's key, and evidence without a key", () =>
    Effect.gen(function* () {
      const witness = "auditor.example/w1+15cfbe2c+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
      for (const [flags, problem, env] of [
        [
          ["--dialect", "binary", "--seal-vkey", Sealed.VKEY],
          "seal-vkey needs the native dialect; binary has no receipts and proofs"
        ],
        [
          ["--dialect", "json"],
          "seal-vkey needs the native dialect; json has no receipts and proofs",
          { LOTTERY_SEAL_VKEY: Sealed.VKEY }
        ],
        [["--seal-vkey", witness], "expected an operator's verifier key"],
        [["--evidence", "kept"], "evidence needs --seal-vkey, the key that verifies what is kept"]
      ] as const) {
        const args = ["client", "--agency", "3", ...flags]
        const { code, stderr } = yield* runLottery({ args, ...(env && { env }) })
        expect(code, stderr).toBe(2)
        expect(stderr).toContain(problem)
      }
    })
  )

  it.live("refuses the evidence of another draw before it connects", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const evidence = join(folder, "kept")
      mkdirSync(evidence)
      const sunday = Sealed.receiptOf({ ...Sealed.ANNOUNCED, draw: "sunday" })
      writeFileSync(join(evidence, "agency-3.receipt"), sunday)
      const flags = ["--seal-vkey", Sealed.VKEY, "--evidence", evidence]
      const client = yield* startClient(folder, 1, flags)
      const { code, stderr } = yield* client.outcome
      expect(code).toBe(1)
      expect(lastLine(stderr)).toMatch(
        /agency-3\.receipt: not evidence of agency 3 in the draw default \(the receipt is for the d/
      )
      expect(stderr).not.toContain("action: connection")
    })
  )
})
