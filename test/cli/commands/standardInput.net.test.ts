/**
 * Goal: a command does not change standard input, which other processes share, unless it reads a
 * book from it. Method: the flags of the open file in Linux's /proc.
 */
import { existsSync, readFileSync } from "node:fs"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import { type Running, startLottery } from "../../support/processes/lotteryCommand.ts"

const O_NONBLOCK = 0o4000

/** Returns the flags of a process's standard input, a socket. */
const inputFlags = ({ child }: Running): number => {
  const info = readFileSync(`/proc/${child.pid}/fdinfo/0`, "utf8")
  return Number.parseInt(/^flags:\s+([0-7]+)$/m.exec(info)?.[1] ?? "", 8)
}

it.live.skipIf(!existsSync("/proc/self/fdinfo"))("standard input stays in blocking mode", () =>
  Effect.gen(function* () {
    const bet = ["--first-name", "Ana", "--last-name", "Paz", "--document", "1"]
    const fields = [...bet, "--birthdate", "1999-03-17", "--number", "7"]
    const args = ["client", "--agency", "1", "--server", "127.0.0.1:1", ...fields]
    const client = yield* startLottery({ args })
    yield* client.logged(/action: connection/)
    expect(inputFlags(client) & O_NONBLOCK).toBe(0)
  })
)
