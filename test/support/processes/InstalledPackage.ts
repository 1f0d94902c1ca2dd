/**
 * The package as a user has it: packed, and installed by npm into an empty folder. It is packed
 * from a copy of the tests' build, with leftovers of earlier builds added.
 */
import { execFile } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { promisify } from "node:util"
import { Context, Effect, Layer } from "effect"
import { temporaryFolder } from "../TemporaryFolder.ts"
import { COMMAND, pathWith } from "./lotteryCommand.ts"

const DIST = dirname(COMMAND)
const PROJECT = dirname(DIST)

export class InstalledPackage extends Context.Service<
  InstalledPackage,
  {
    /** The `node_modules` that it was installed into. */
    readonly modules: string
    /** npm's link to the command. */
    readonly command: string
  }
>()("lottery/test/InstalledPackage") {
  static readonly layer = Layer.effect(
    InstalledPackage,
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [source, prefix] = [join(folder, "source"), join(folder, "prefix")]
      mkdirSync(prefix)
      copyProject(source)
      const npm = yield* npmIn(folder)
      yield* npm(source, "pack", "--ignore-scripts", "--pack-destination", folder)
      const [archive] = readdirSync(folder).filter((file) => file.endsWith(".tgz"))
      // Scripts are enabled here: a build would fail, because there are no sources.
      yield* npm(folder, "install", "--prefix", prefix, `./${archive}`)
      const modules = join(prefix, "node_modules")
      return { modules, command: join(modules, ".bin", "lottery") }
    })
  )
}

/** Copies what npm packs, and adds files that it must not pack. */
const copyProject = (to: string): void => {
  for (const name of ["package.json", "README.md", "dist"]) {
    cpSync(join(PROJECT, name), join(to, name), { recursive: true })
  }
  mkdirSync(join(to, "dist", "command-0000000000000000"))
  writeFileSync(join(to, "dist", "command-0000000000000000", "entry.cjs"), "")
  writeFileSync(join(to, "dist", ".lottery.cjs.1.tmp"), "")
}

/** Returns a function that runs npm offline and without the user's settings. */
const npmIn = Effect.fnUntraced(function* (home: string) {
  const npm = (process.env.PATH ?? "")
    .split(delimiter)
    .find((directory) => existsSync(join(directory, "npm")))
  if (npm === undefined) return yield* Effect.die(new Error("no npm on the PATH"))
  const env = { PATH: pathWith(process.execPath), HOME: home }
  const quiet = ["--offline", "--no-audit", "--no-fund"]
  return (cwd: string, ...args: ReadonlyArray<string>) =>
    Effect.promise(() => promisify(execFile)(join(npm, "npm"), [...args, ...quiet], { cwd, env }))
})
