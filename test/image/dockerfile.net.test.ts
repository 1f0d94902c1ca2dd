/**
 * Goal: the image contains exactly what it should, and works as process 1, as its user and on a
 * read-only root. Method: the Dockerfile's stages run in folders; the result runs in kernel
 * namespaces as far as this machine permits.
 */
import { spawnSync } from "node:child_process"
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { layer } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import {
  instead,
  type Running,
  runLottery,
  startLottery
} from "../support/processes/lotteryCommand.ts"
import { exported, LISTENS } from "../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"
import { parse } from "./Dockerfile.ts"
import { ImageFolder } from "./ImageFolder.ts"

const USER = "10001:10001"
const ENTRYPOINT = ["node", "/app/lottery.cjs"]
const CONTAINER = join(import.meta.dirname, "contained.sh")
/** The files that the command loads. */
const LOADED = /^app\/command-[0-9a-f]{16}\/([\w-]+\.cjs(\.compiled)?|worker\.mjs|board\.\w+)$/
const BOOK = "Santiago,Lorca,30904465,1999-03-17,7574\nAgustina,Rojas,28337502,1980-01-02,1\n"

/** Runs a program as process 1 of a new PID namespace, which ends when `unshare` is killed. */
const UNSHARE = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL"]
const isRoot = process.getuid?.() === 0
const ALONE = [...UNSHARE, "--mount-proc", ...(isRoot ? [] : ["--user", "--map-root-user"])]
const CONTAINED = [...UNSHARE, "--mount"]

const works = ([program, ...words]: ReadonlyArray<string>): boolean =>
  spawnSync(program!, words).status === 0

const canBeAlone = works([...ALONE, "true"])
if (!canBeAlone) console.warn("skipped: `unshare` cannot create a PID namespace here")

const MOUNTS = "mount -t tmpfs none /mnt && mkdir /mnt/a && mount -t overlay -o lowerdir=/mnt/a:/"
const canBeContained = isRoot && works([...CONTAINED, "sh", "-c", `${MOUNTS} none /mnt/a`])
if (!canBeContained) console.warn("skipped: containers need root and a kernel with overlayfs")

const FREE_PORTS = ["--port", "0", "--winners-port", "0"]

/** Returns the only child of a process. */
const childOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"))

/** Returns the numbers after a key in /proc/PID/status. */
const numbersOf = (pid: number, key: "NSpid" | "Uid" | "Gid"): ReadonlyArray<number> =>
  new RegExp(`^${key}:\\t(.*)$`, "m")
    .exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]!
    .split("\t")
    .map(Number)

/** Checks that a server under `unshare` is process 1 and ends cleanly on SIGTERM. */
const stopAsProcess1 = Effect.fnUntraced(function* (server: Running) {
  const pid = childOf(server.child.pid!)
  expect(numbersOf(pid, "NSpid").at(-1)).toBe(1)
  process.kill(pid, "SIGTERM")
  const { code, stderr } = yield* server.outcome
  expect(code, stderr).toBe(0)
  expect(stderr).toContain("action: signal_received | result: success | signal: SIGTERM\n")
  expect(stderr).toMatch(/action: exit \| result: success\n$/)
})

describe("a Dockerfile", () => {
  it("may have continued lines, options and quotes", () => {
    const text = "FROM a:1 AS b\n# c\nRUN d \\\n  && e\nFROM a:1\nCOPY --from=b --chown=1:2 f /g/\n"
    expect(parse(`${text}ENV H=i J="k l"\nENTRYPOINT ["m", "n"]\n`)).toEqual([
      { base: "a:1", name: "b", instructions: [{ kind: "RUN", command: "d && e" }] },
      {
        base: "a:1",
        name: undefined,
        instructions: [
          { kind: "COPY", from: "b", chown: "1:2", sources: ["f"], target: "/g/" },
          { kind: "ENV", values: { H: "i", J: "k l" } },
          { kind: "ENTRYPOINT", words: ["m", "n"] }
        ]
      }
    ])
  })

  it.each([
    "ADD a /",
    "VOLUME /data",
    "run a",
    "RUN --mount=type=cache,target=/a b",
    "RUN cat <<EOF",
    'RUN ["a"]',
    "COPY --chmod=755 a b",
    "COPY *.ts ./",
    "COPY a",
    "ENV A=$B",
    "ENV A b",
    "USER",
    "ENTRYPOINT node a",
    "FROM --platform=linux/amd64 a"
  ])("with %s is refused", (line) => {
    expect(() => parse(`FROM a:1\n${line}\n`)).toThrow(line)
  })

  it("with a directive or without a stage is refused", () => {
    expect(() => parse("# syntax=docker/dockerfile:1\nFROM a:1\n")).toThrow("syntax")
    expect(() => parse("USER a\nFROM a:1\n")).toThrow("USER a")
  })
})

const image = { timeout: "300 seconds", excludeTestServices: true } as const

layer(ImageFolder.layer, image)("the image", (it) => {
  it.effect("is built only from the sources", () =>
    Effect.gen(function* () {
      const { context } = yield* ImageFolder
      const allowed = ["build.ts", "package-lock.json", "package.json", "runtime", "src"]
      expect(readdirSync(context).sort()).toEqual(allowed)
    })
  )

  it.effect("contains the command, the files that it loads, and the link to it", () =>
    Effect.gen(function* () {
      const { folder } = yield* ImageFolder
      const held = readdirSync(folder, { recursive: true, encoding: "utf8" })
      const files = held.filter((path) => !statSync(join(folder, path)).isDirectory())
      expect(files.filter((path) => !LOADED.test(path)).sort()).toEqual([
        "app/THIRD-PARTY-NOTICES",
        "app/lottery.cjs",
        "usr/local/bin/lottery"
      ])
      expect(files.filter((path) => path.endsWith("/client.cjs.compiled"))).toHaveLength(1)
      expect(readdirSync(folder).sort()).toEqual(["app", "data", "lottery", "usr"])
      const link = join(folder, "usr/local/bin/lottery")
      expect(join(dirname(link), readlinkSync(link))).toBe(join(folder, ENTRYPOINT[1]!))
    })
  )

  it.effect("is based on Node and has a user who owns only the volume", () =>
    Effect.gen(function* () {
      const { env, owners, stages, workdir } = yield* ImageFolder
      const bases = new Set(stages.map(({ base }) => base))
      expect(bases.size).toBe(1)
      const [image, digest] = [...bases][0]!.split("@")
      expect(image).toBe(`node:${process.versions.node}-bookworm-slim`)
      expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
      const last = stages.at(-1)!.instructions.filter(({ kind }) => kind !== "LABEL")
      expect(last.filter(({ kind }) => !["COPY", "ENV", "WORKDIR"].includes(kind))).toEqual([
        { kind: "USER", value: USER },
        { kind: "EXPOSE", ports: ["12345", "12346"] },
        { kind: "STOPSIGNAL", value: "SIGTERM" },
        { kind: "ENTRYPOINT", words: ENTRYPOINT }
      ])
      expect({ owners, workdir }).toEqual({ owners: { "/data": USER }, workdir: "/lottery" })
      expect(env).toEqual({ NODE_ENV: "production", LOTTERY_STORE: "sqlite:/data/lottery.db" })
    })
  )

  it.effect("runs through its entrypoint", () =>
    Effect.gen(function* () {
      const { env, folder } = yield* ImageFolder
      const under = instead([process.execPath, join(folder, ENTRYPOINT[1]!)])
      const outcome = yield* runLottery({ args: ["--version"], under, env })
      const stdout = `lottery v${packageJson.version}\n`
      expect(outcome).toEqual({ code: 0, stdout, stderr: "" })
    })
  )

  it.effect("runs by name, including workers and a demo's processes", () =>
    Effect.gen(function* () {
      const { env, folder } = yield* ImageFolder
      const PATH = `${dirname(process.execPath)}:/usr/bin:/bin`
      const { code, stderr, stdout } = yield* runLottery({
        args: ["demo", "--clients", "2", "--bets", "2000"],
        under: instead([join(folder, "usr/local/bin/lottery")]),
        env: { ...env, PATH }
      })
      expect(code, stderr).toBe(0)
      expect(stdout).toMatch(/^ +1 +2000 +[1-9]\d* .* s {2}\d+/m)
      expect(stdout).toMatch(/^ +2 +2000 +[1-9]\d* .* s {2}\d+/m)
    })
  )

  it.effect.skipIf(!canBeAlone)("stops on SIGTERM as process 1", () =>
    Effect.gen(function* () {
      const { env, folder } = yield* ImageFolder
      const store = `sqlite:${yield* temporaryFolder}/lottery.db`
      const server = yield* startLottery({
        args: ["server", "--host", "127.0.0.1", ...FREE_PORTS, "--store", store],
        under: [...ALONE, ...instead([process.execPath, join(folder, ENTRYPOINT[1]!)])],
        env
      })
      yield* server.logged(LISTENS)
      yield* stopAsProcess1(server)
    })
  )

  it.effect.skipIf(!canBeContained)("works as its user on a read-only root", () =>
    Effect.gen(function* () {
      const { env, folder, workdir } = yield* ImageFolder
      const root = yield* temporaryFolder
      const [mountPoint, volume, books] = ["root", "volume", "books"].map((name) => {
        mkdirSync(join(root, name))
        return join(root, name)
      })
      writeFileSync(join(books!, "agency-1.csv"), BOOK)
      const container = [CONTAINER, folder, mountPoint!, volume!, books!, USER, workdir]
      const under = [
        ...CONTAINED,
        ...instead(["bash", ...container, process.execPath, ...ENTRYPOINT])
      ]
      const server = yield* startLottery({
        args: ["server", ...FREE_PORTS, "--agencies", "1,"],
        under,
        env
      })
      const [, port] = yield* server.logged(LISTENS)
      const pid = childOf(server.child.pid!)
      expect(numbersOf(pid, "Uid")).toEqual([10001, 10001, 10001, 10001])
      expect(numbersOf(pid, "Gid")).toEqual([10001, 10001, 10001, 10001])
      expect(readFileSync(`/proc/${pid}/mounts`, "utf8")).toMatch(/^\w+ \/ overlay ro,/m)
      const client = yield* runLottery({
        args: ["client", "--agency", "1", "--server", `localhost:${port}`],
        under,
        env
      })
      expect(client, client.stderr).toMatchObject({ code: 0, stdout: "30904465\n" })
      yield* stopAsProcess1(server)
      expect(yield* exported(`sqlite:${volume}/lottery.db`, 1)).toBe(BOOK)
    })
  )
})
