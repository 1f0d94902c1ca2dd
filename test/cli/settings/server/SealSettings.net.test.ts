/**
 * Goal: a server seals only with a whole set of settings and a usable key, and never shows the key.
 * Method: the built server.
 */
import { generateKeyPairSync } from "node:crypto"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery } from "../../../support/processes/lotteryCommand.ts"
import { startServer } from "../../../support/processes/lotteryParties.ts"
import { SEAL_NAME, SEAL_PEM, SEAL_VKEY, sealFlags } from "../../../support/sealKey.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const HTTP = ["--http", "127.0.0.1:0"]
const PAIR = "seal-key and seal-name must be given together: one of them is missing"
const PUBLISH = "publish-seal needs --http and --seal-key"

const made = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const path = join(folder, "lottery.db")
  const serverArgs = (...more: ReadonlyArray<string>) => [
    ...["server", "--host", "127.0.0.1", "--port", "0", "--store", `sqlite:${path}`, ...more]
  ]
  return { folder, path, serverArgs }
})

describe("lottery server refuses", () => {
  it.live("a part of the settings, in one line", () =>
    Effect.gen(function* () {
      const { folder, path, serverArgs } = yield* made
      const flags = sealFlags(folder)
      const [, key] = flags
      for (const [more, line] of [
        [["--seal-key", key!, "--draw", "sunday"], PAIR],
        [["--seal-name", SEAL_NAME, "--draw", "sunday"], PAIR],
        [flags, "seal-key needs a draw name that was never used with it: add --draw"],
        [["--publish-seal"], PUBLISH],
        [["--publish-seal", ...HTTP], PUBLISH],
        [["--publish-seal", "--draw", "sunday", ...flags], PUBLISH]
      ] as const) {
        const outcome = yield* runLottery({ args: serverArgs(...more) })
        expect(outcome).toEqual({ code: 2, stdout: "", stderr: `lottery: ${line}\n` })
      }
      expect(existsSync(path)).toBe(false)
    })
  )

  it.live("a file that has no Ed25519 key", () =>
    Effect.gen(function* () {
      const { folder, path, serverArgs } = yield* made
      const options = { type: "pkcs8", format: "pem" } as const
      const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export(options)
      const key = join(folder, "key.pem")
      for (const text of [undefined, "", "secret", String(other), SEAL_PEM.slice(0, -40)]) {
        if (text !== undefined) writeFileSync(key, text)
        const outcome = yield* runLottery({
          args: serverArgs("--seal-key", key, "--seal-name", SEAL_NAME, "--draw", "sunday")
        })
        expect(outcome).toMatchObject({ code: 1, stdout: "" })
        expect(outcome.stderr).toMatch(/^\S+ \S+ CRITICAL [^\n]*\n$/)
        expect(outcome.stderr).toContain(`${key}: `)
        expect(outcome.stderr).not.toContain("secret")
      }
      expect(existsSync(path)).toBe(false)
    })
  )
})

it.live("the log has the key that verifies the seals, and never the private key", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const store = `sqlite:${join(folder, "lottery.db")}`
    const more = [...sealFlags(folder), "--log-level", "debug"]
    const server = yield* startServer({ store, more, env: { LOTTERY_DRAW: "sunday" } })
    expect(server.stderr()).toContain(` | draw: sunday | `)
    expect(server.stderr()).toContain(` | seal_vkey: ${SEAL_VKEY} | `)
    expect(server.stderr()).not.toContain(SEAL_PEM.split("\n")[1])
    yield* server.signal("SIGTERM")
    yield* server.outcome
    // The key is a term of the draw, so a server without it does not continue the draw.
    const keyless = yield* runLottery({
      args: ["server", "--port", "0", "--store", store, "--draw", "sunday"]
    })
    expect(keyless).toMatchObject({ code: 1, stdout: "" })
  })
)
