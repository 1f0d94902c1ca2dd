/**
 * Goal: a command that cannot write a file fails at once, names the file or folder in one line and
 * leaves no partial file. Method: the built command and unwritable folders.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const COMMANDS = {
  generate: ["generate", "--agencies", "1", "--bets", "9000", "--out"],
  keys: ["keys", "--agencies", "1", "--out"],
  compose: ["compose", "--clients", "1000", "--out"]
} as const
type Name = keyof typeof COMMANDS
const FOLDERS = ["generate", "keys"] as const
const ALL = [...FOLDERS, "compose"] as const

const refusal = Effect.fnUntraced(function* (
  name: Name,
  out: string,
  under: ReadonlyArray<string> = []
) {
  const { code, stderr, stdout } = yield* runLottery({ args: [...COMMANDS[name], out], under })
  expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: "" })
  const [, reason] = /^\S+ \S+ CRITICAL ([^\n]*)\n$/.exec(stderr) ?? []
  return reason ?? `expected one line, got ${stderr}`
})

describe("a folder", () => {
  it.live.each(FOLDERS)("in a folder that cannot contain others: lottery %s", (name) =>
    Effect.gen(function* () {
      expect(yield* refusal(name, "/proc/x/y")).toBe("/proc/x: cannot create a folder in /proc")
    })
  )

  it.live("that is a file, a broken link or inside a file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [file, link] = [join(folder, "file"), join(folder, "link")]
      writeFileSync(file, "mine")
      symlinkSync("nowhere", link)
      for (const out of [file, link]) {
        expect(yield* refusal("generate", out)).toBe(`${out}: already exists and is not a folder`)
      }
      expect(yield* refusal("generate", join(file, "a", "b"))).toMatch(
        /file\/a\/b: is a file, or is inside one; expected a folder/
      )
      expect(readFileSync(file, "utf8")).toBe("mine")
      expect(readdirSync(folder).sort()).toEqual(["file", "link"])
    })
  )

  it.live("is created with its parents, even through a link", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, "real"))
      symlinkSync("real", join(folder, "link"))
      const out = join(folder, "link", "a", "b/")
      const { code } = yield* runLottery({ args: [...COMMANDS.generate, out] })
      expect(code).toBe(0)
      expect(readdirSync(join(folder, "real", "a", "b"))).toEqual(["agency-1.csv"])
    })
  )
})

it.live("a name that is too long", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    for (const name of ["generate", "compose"] as const) {
      const reason = yield* refusal(name, join(folder, "a".repeat(256)))
      expect(reason).toMatch(/a{256}: ENAMETOOLONG/)
    }
    expect(readdirSync(folder)).toEqual([])
  })
)

/** Mounts a file system in the folder `disk`, which must be empty afterwards. */
const onDisk = (disk: string, options: string): ReadonlyArray<string> => [
  ...["unshare", "--mount", "sh", "-c"],
  `mount -t tmpfs -o ${options} lottery-test '${disk}' && "$@"; code=$?
  find '${disk}' -type f | grep . && exit 3
  exit $code`,
  "sh"
]

const canMount = spawnSync("unshare", ["--mount", "true"]).status === 0

describe.skipIf(!canMount)("a disk", () => {
  const withDisk = Effect.gen(function* () {
    const disk = join(yield* temporaryFolder, "disk")
    mkdirSync(disk)
    return disk
  })

  it.live.each(ALL)("that is full: lottery %s", (name) =>
    Effect.gen(function* () {
      const disk = yield* withDisk
      const reason = yield* refusal(name, join(disk, "out"), onDisk(disk, "size=4k"))
      expect(reason).toMatch(/out(\/\S+)?: ENOSPC/)
    })
  )

  it.live.each(ALL)("that is read-only: lottery %s", (name) =>
    Effect.gen(function* () {
      const disk = yield* withDisk
      const reason = yield* refusal(name, join(disk, "out"), onDisk(disk, "ro"))
      expect(reason).toMatch(/out: EROFS/)
    })
  )
})
