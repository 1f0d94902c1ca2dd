/**
 * Goal: a connection to PostgreSQL on another machine uses TLS and verifies the server, or logs a
 * warning. Method: the built commands, and a server that speaks the start of the protocol, up to
 * the password.
 */
import { writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { createSecureContext, TLSSocket } from "node:tls"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery } from "../../../support/processes/lotteryCommand.ts"
import { makeTrialKeys } from "../../../support/processes/trialKeys.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const keys = await Effect.runPromise(makeTrialKeys)

/** This machine under an address outside loopback; nothing listens on the port. */
const ELSEWHERE = "0.0.0.0:1"

const ENDS = Buffer.from("E\0\0\0\x1cSFATAL\0C28000\0Mgo away\0\0", "latin1")

/** Accepts TLS with a certificate for localhost and records the first message over it. */
const listen = Effect.gen(function* () {
  const heard: Array<string> = []
  const { certificate: cert, key } = keys.server
  const secureContext = createSecureContext({ cert, key })
  const server = createServer((plain) => {
    plain.on("error", () => {})
    plain.once("data", () => {
      plain.write("S")
      const secure = new TLSSocket(plain, { isServer: true, secureContext })
      secure.on("error", () => {})
      secure.once("data", (message) => {
        heard.push(message.toString("latin1"))
        secure.end(ENDS)
      })
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () => Effect.sync(() => server.close())
  )
  return { heard, port: (server.address() as AddressInfo).port }
})

const status = (authority: string, env: Readonly<Record<string, string>>) =>
  runLottery({ args: ["status"], env: { LOTTERY_STORE: `postgres://${authority}`, ...env } })

describe("a PostgreSQL on another machine", () => {
  it.live.each([
    ["server", "--host", "127.0.0.1", "--port", "0"],
    ["status"],
    ["export"],
    ["discard", "--agency", "1", "--yes"]
  ])("without TLS causes one warning by %s", (args) =>
    Effect.gen(function* () {
      const env = { LOTTERY_STORE: `postgres://bob:hunter2@${ELSEWHERE}/lottery` }
      const { code, stderr } = yield* runLottery({ args, env })
      expect(code).toBe(1)
      const warnings = stderr.match(/WARNING .*\n/g)
      expect(warnings).toEqual([
        expect.stringContaining("bets are sent to PostgreSQL on 0.0.0.0 unencrypted, ")
      ])
      expect(stderr).not.toContain("hunter2")
    })
  )
})

describe("sslmode=require", () => {
  it.live("sends nothing to a server with another certificate, whatever Node's settings", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* listen
      const url = `bob:hunter2@localhost:${port}/lottery?sslmode=require`
      const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0" }
      const { code, stderr } = yield* status(url, env)
      expect(code).toBe(1)
      expect(stderr).toContain("unable to verify the first certificate")
      expect(heard).toEqual([])
    })
  )

  it.live("checks the certificate's host name and accepts the right one", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* listen
      const ca = join(yield* temporaryFolder, "ca.pem")
      writeFileSync(ca, keys.authority.certificate)
      const env = { NODE_EXTRA_CA_CERTS: ca }
      const other = yield* status(`bob:hunter2@0.0.0.0:${port}/lottery?sslmode=require`, env)
      expect(other.stderr).toContain("0.0.0.0 is not in the cert's list")
      expect(other.stderr).not.toContain("unencrypted")
      expect(heard).toEqual([])
      const right = yield* status(`bob:hunter2@localhost:${port}/lottery?sslmode=require`, env)
      expect(right.stderr).toContain("go away")
      expect(heard).toEqual([expect.stringContaining("user\0bob\0")])
    })
  )
})
