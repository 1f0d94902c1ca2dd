/**
 * Goal: the course's make targets run the right commands. Method: `make -n`; and make itself in a
 * temporary folder without docker, up to the call of docker.
 */
import { spawnSync } from "node:child_process"
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { makeComposeFile } from "../../../src/cli/compose/ComposeFile.ts"
import { COMMAND } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const root = join(import.meta.dirname, "..", "..", "..")

const programAt = (name: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(":")
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

const [make, npx, sh] = [programAt("make"), programAt("npx"), programAt("sh")]
if (make === undefined || npx === undefined) console.warn("skipped: make or npx is missing")

const COMPOSE = "docker compose -f docker-compose-dev.yaml"
const up = (clients: number) => [
  "docker build -t lottery:latest .",
  `npx lottery compose --clients ${clients}`,
  `${COMPOSE} up -d`
]

describe.skipIf(make === undefined)("make -n", () => {
  it.live.each([
    ["docker-image", [], ["docker build -t lottery:latest ."]],
    ["docker-compose-up", [], up(5)],
    ["docker-compose-up", ["CLIENTS=3"], up(3)],
    ["docker-compose-logs", [], [`${COMPOSE} logs -f`]],
    ["docker-compose-down", [], [`${COMPOSE} stop -t 1`, `${COMPOSE} down --remove-orphans`]],
    [
      "test-server",
      [],
      [
        "docker run --rm --network tp0_testing_net \\",
        '  --volume "PROJECT/config/client.yaml:/config/client.yaml:ro" \\',
        "  lottery:latest ping --config /config/client.yaml --count 1"
      ]
    ]
  ] as const)("%s %j, even if a file has that name", ([target, settings, calls]) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, target), "")
      const { stdout } = spawnSync(
        make!,
        ["-n", "-f", join(root, "Makefile"), target, ...settings],
        { cwd: folder, env: { PATH: process.env.PATH }, encoding: "utf8" }
      )
      expect(stdout.trimEnd().replaceAll(folder, "PROJECT").split("\n")).toEqual(calls)
    })
  )
})

describe.skipIf(make === undefined || npx === undefined)("make docker-compose-up", () => {
  /** A project in which make and npx find the built command, but not docker. */
  const project = Effect.map(temporaryFolder, (folder) => {
    const programs = join(folder, "node_modules", ".bin")
    mkdirSync(programs, { recursive: true })
    symlinkSync(COMMAND, join(programs, "lottery"))
    symlinkSync(process.execPath, join(programs, "node"))
    symlinkSync(npx!, join(programs, "npx"))
    symlinkSync(sh!, join(programs, "sh"))
    symlinkSync(join(root, "Makefile"), join(folder, "Makefile"))
    writeFileSync(join(folder, "package.json"), "{}")
    return { folder, programs }
  })

  /** Runs the target as if the image existed. */
  const composeUp = ({ folder, programs }: { folder: string; programs: string }, clients: number) =>
    spawnSync(make!, ["-o", "docker-image", "docker-compose-up", `CLIENTS=${clients}`], {
      cwd: folder,
      // Offline, so that npx does not search the registry for a command that it does not find.
      env: { PATH: programs, HOME: folder, npm_config_offline: "true" },
      encoding: "utf8"
    })

  it.live("writes the file for the given number of clients, then calls docker", () =>
    Effect.gen(function* () {
      const own = yield* project
      const { stderr, stdout } = composeUp(own, 3)
      const written = readFileSync(join(own.folder, "docker-compose-dev.yaml"), "utf8")
      expect(written, stderr).toBe(makeComposeFile({ clients: 3 }))
      expect(stdout).toContain(COMPOSE)
      expect(stderr).toContain("docker")
    })
  )

  it.live("fails if the number is invalid, and does not call docker", () =>
    Effect.gen(function* () {
      const own = yield* project
      const { status, stderr, stdout } = composeUp(own, 0)
      expect(status).toBe(2)
      expect(stderr).toContain("expected a whole number from 1 to 1000")
      expect(stdout).not.toContain(COMPOSE)
      expect(existsSync(join(own.folder, "docker-compose-dev.yaml"))).toBe(false)
    })
  )
})
