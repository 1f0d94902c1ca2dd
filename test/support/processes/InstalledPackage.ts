/**
 * The package as a stranger has it: packed, and installed by npm where there is nothing else. It is
 * packed from a copy in which earlier builds left something, from what the tests built.
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
    /** Where npm installed it; no other package may be there. */
    readonly modules: string
    /** The link that npm made to the command. */
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
      // With its scripts, were any to run: there is nothing here that it could be built from.
      yield* npm(folder, "install", "--prefix", prefix, `./${archive}`)
      const modules = join(prefix, "node_modules")
      return { modules, command: join(modules, ".bin", "lottery") }
    })
  )
}

/** Copies what npm packs from, and adds what must not be packed. */
const copyProject = (to: string): void => {
  for (const name of ["package.json", "README.md", "dist"]) {
    cpSync(join(PROJECT, name), join(to, name), { recursive: true })
  }
  mkdirSync(join(to, "dist", "command-0000000000000000"))
  writeFileSync(join(to, "dist", "command-0000000000000000", "entry.cjs"), "")
  writeFileSync(join(to, "dist", ".lottery.cjs.1.tmp"), "")
}

/** npm without the settings of whoever runs the tests, and without a way to any registry. */
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
