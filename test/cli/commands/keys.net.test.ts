/**
 * Goal: `lottery keys` writes a complete set of keys that only their owner can read, and overwrites
 * nothing. Method: the built command and Node's certificate parser.
 */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { describe, expect } from "vitest"
import { sealKeyFromPem, showKey } from "../../../src/protocol/notes/SignedNote.ts"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const DAY_MILLIS = 24 * 3_600_000
const EARLIER_MILLIS = 5 * 60_000

const keys = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const out = join(yield* temporaryFolder, "inner", "keys")
  return { out, ...(yield* runLottery({ args: ["keys", "--out", out, ...args] })) }
})

const readCertificate = (folder: string, holder: string) =>
  new X509Certificate(readFileSync(join(folder, `${holder}.pem`)))

describe("writes", () => {
  it.live("a CA, a server and each agency, and warns that they are for trials", () =>
    Effect.gen(function* () {
      const { code, out, stderr, stdout } = yield* keys("--agencies", "2,7")
      const vkey = readFileSync(join(out, "seal.vkey"), "utf8")
      expect({ code, stdout }).toEqual({ code: 0, stdout: vkey })
      expect(stderr).toMatch(
        /^\S+ \S+ INFO +action: keys \| result: success \| agencies: 2 \| days: 30 \| folder: .*\n/
      )
      expect(stderr).toContain(`folder: ${out}\n`)
      expect(stderr).toMatch(/\n\S+ \S+ WARNING +for trials only: [^\n]*\n$/)
      expect(stderr).toMatch(/anyone with \S+ca-key\.pem can impersonate any agency, and anyone/)
      expect(stderr).toMatch(/and anyone with \S+seal-key\.pem can seal draws\n/)
      const holders = ["agency-2", "agency-7", "ca", "server"]
      const pairs = holders.flatMap((holder) => [`${holder}-key.pem`, `${holder}.pem`])
      expect(readdirSync(out)).toEqual([...pairs, "seal-key.pem", "seal.vkey"].sort())
      const authority = readCertificate(out, "ca")
      for (const holder of holders) {
        const certificate = readCertificate(out, holder)
        const key = createPrivateKey(readFileSync(join(out, `${holder}-key.pem`)))
        expect(certificate.checkPrivateKey(key)).toBe(true)
        expect(certificate.verify(authority.publicKey)).toBe(true)
      }
      expect(readCertificate(out, "agency-7").subjectAltName).toBe("URI:lottery:agency:7")
    })
  )

  it.live("keys that only their owner can read, whatever the umask", () =>
    Effect.gen(function* () {
      const out = join(yield* temporaryFolder, "keys")
      const { code } = yield* runLottery({
        args: ["keys", "--agencies", "1", "--out", out],
        under: ["sh", "-c", 'umask 0; exec "$@"', "sh"]
      })
      expect(code).toBe(0)
      const files = readdirSync(out)
      expect(files).toHaveLength(8)
      for (const file of files) {
        const mode = file.endsWith("-key.pem") ? 0o600 : 0o666
        expect(statSync(join(out, file)).mode & 0o777, file).toBe(mode)
      }
    })
  )

  it.live("a new seal key, which its verifier key belongs to", () =>
    Effect.gen(function* () {
      const vkeys = []
      for (const [more, name] of [
        [[], "lottery.example"],
        [["--seal-name", "draws.example/2"], "draws.example/2"]
      ] as const) {
        const { code, out, stdout } = yield* keys("--agencies", "1", ...more)
        expect(code).toBe(0)
        const pem = readFileSync(join(out, "seal-key.pem"), "utf8")
        const key = Result.getOrThrow(sealKeyFromPem(name, pem))
        expect(stdout).toBe(`${showKey(key.verifier)}\n`)
        expect(key.verifier.name).toBe(name)
        vkeys.push(Buffer.from(key.verifier.publicKey).toString("hex"))
      }
      expect(new Set(vkeys).size).toBe(2)
    })
  )

  it.live("a server certificate for the default and the given names, each once", () =>
    Effect.gen(function* () {
      const { out } = yield* keys("--agencies", "1", "--names", "central.example, 10.0.0.7,server")
      expect(readCertificate(out, "server").subjectAltName).toBe(
        "DNS:localhost, DNS:server, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, " +
          "DNS:central.example, IP Address:10.0.0.7"
      )
    })
  )

  it.live("certificates that are valid for the given days", () =>
    Effect.gen(function* () {
      const { out } = yield* keys("--agencies", "1", "--days", "2")
      for (const holder of ["ca", "server", "agency-1"]) {
        const { validFromDate, validToDate } = readCertificate(out, holder)
        const millis = validToDate.getTime() - validFromDate.getTime()
        expect(millis).toBe(2 * DAY_MILLIS + EARLIER_MILLIS)
      }
    })
  )
})

describe("writes nothing", () => {
  it.live.each(["ca.pem", "server.pem", "agency-5-key.pem", "seal-key.pem", "seal.vkey"])(
    "if %s exists",
    (name) =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const file = join(folder, name)
        writeFileSync(file, "mine")
        const outcome = yield* runLottery({ args: ["keys", "--out", folder] })
        expect(outcome).toMatchObject({ code: 1, stdout: "" })
        expect(outcome.stderr).toMatch(/^\S+ \S+ CRITICAL [^\n]*\n$/)
        expect(outcome.stderr).toContain(`${file}: already exists; nothing was written\n`)
        expect(readdirSync(folder)).toEqual([name])
        expect(readFileSync(file, "utf8")).toBe("mine")
      })
  )

  it.live("through a link to a missing file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const out = join(folder, "keys")
      mkdirSync(out)
      symlinkSync(join(folder, "elsewhere"), join(out, "server-key.pem"))
      const { code, stderr } = yield* runLottery({ args: ["keys", "--out", out] })
      expect(code).toBe(1)
      expect(stderr).toContain("server-key.pem: already exists; nothing was written\n")
      expect(readdirSync(folder)).toEqual(["keys"])
      expect(readdirSync(out)).toEqual(["server-key.pem"])
    })
  )

  it.live("if the folder is a file", () =>
    Effect.gen(function* () {
      const out = join(yield* temporaryFolder, "keys")
      writeFileSync(out, "mine")
      const { code, stderr } = yield* runLottery({ args: ["keys", "--out", out] })
      expect(code).toBe(1)
      expect(stderr).toMatch(/^\S+ \S+ CRITICAL .*keys: already exists and is not a folder\n$/)
      expect(readFileSync(out, "utf8")).toBe("mine")
    })
  )

  it.live.each([
    "a b",
    "a,,b",
    "300.1.1.1",
    "fe80::1%eth0",
    "-a.example",
    "*.example",
    "a..b",
    "x".repeat(64)
  ])("for the invalid server name %s", (names) =>
    Effect.gen(function* () {
      const { code, out, stderr, stdout } = yield* keys(`--names=${names}`)
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toBe(
        "lottery keys: names from the flag --names: " +
          `expected host names or IP addresses separated by commas, got "${names}"\n` +
          "Try: lottery keys --help\n"
      )
      expect(() => statSync(out)).toThrow("ENOENT")
    })
  )
})
