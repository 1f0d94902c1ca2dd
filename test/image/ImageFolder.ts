/**
 * Builds the image without an image builder: each stage of the Dockerfile is a folder in which its
 * instructions run. The base is not included; Node and npm are those of this machine.
 */
import { execFile } from "node:child_process"
import { chownSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync } from "node:fs"
import { basename, delimiter, dirname, join, posix } from "node:path"
import { promisify } from "node:util"
import { Context, Effect, Layer } from "effect"
import { temporaryFolder } from "../support/TemporaryFolder.ts"
import { type Copy, parse, type Stage } from "./Dockerfile.ts"

const PROJECT = join(import.meta.dirname, "..", "..")

const run = promisify(execFile)

interface StageFolder {
  readonly folder: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  /** The owners that `COPY --chown` sets, by path. */
  readonly owners: Readonly<Record<string, string>>
}

export class ImageFolder extends Context.Service<
  ImageFolder,
  StageFolder & { readonly stages: ReadonlyArray<Stage>; readonly context: string }
>()("lottery/test/ImageFolder") {
  static readonly layer = Layer.effect(
    ImageFolder,
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const context = join(root, "context")
      copyContext(context)
      const stages = parse(readFileSync(join(PROJECT, "Dockerfile"), "utf8"))
      const machine = yield* machineEnvironment(join(root, "home"))
      const built = new Map<string | undefined, StageFolder>([[undefined, contextStage(context)]])
      let last = contextStage(context)
      for (const [index, stage] of stages.entries()) {
        last = yield* buildStage(stage, join(root, `stage-${index}`), built, machine)
        if (stage.name !== undefined) built.set(stage.name, last)
      }
      return ImageFolder.of({ ...last, stages, context })
    })
  )
}

const contextStage = (folder: string): StageFolder => ({
  folder,
  workdir: "/",
  env: {},
  owners: {}
})

/** Copies what .dockerignore allows. It must be an allow list. */
const copyContext = (context: string): void => {
  const [first, ...others] = readFileSync(join(PROJECT, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
  if (first !== "*") throw new Error(".dockerignore must begin with *")
  for (const line of others) {
    const [, path] = /^!(\w[\w./-]*)$/.exec(line) ?? []
    if (path === undefined) throw new Error(`.dockerignore: expected !PATH, got ${line}`)
    cpSync(join(PROJECT, path), join(context, path), { recursive: true })
  }
}

/** An environment with only the tests' Node, npm and the registry settings. */
const machineEnvironment = Effect.fnUntraced(function* (home: string) {
  mkdirSync(home)
  const npm = (process.env.PATH ?? "")
    .split(delimiter)
    .find((folder) => existsSync(join(folder, "npm")))
  if (npm === undefined) return yield* Effect.die(new Error("no npm on the PATH"))
  const list = yield* Effect.promise(() => run("npm", ["config", "list", "--json"]))
  const { cache, globalconfig, registry, userconfig } = JSON.parse(list.stdout)
  const proxies = Object.entries(process.env).filter(([name]) =>
    /^((https?|no)_proxy|NODE_EXTRA_CA_CERTS)$/i.test(name)
  )
  return {
    ...Object.fromEntries(proxies),
    PATH: [dirname(process.execPath), npm, "/usr/bin", "/bin"].join(delimiter),
    HOME: home,
    npm_config_registry: registry,
    npm_config_userconfig: userconfig,
    npm_config_globalconfig: globalconfig,
    npm_config_cache: cache,
    npm_config_prefer_offline: "true",
    npm_config_audit: "false",
    npm_config_fund: "false"
  }
})

const buildStage = Effect.fnUntraced(function* (
  stage: Stage,
  folder: string,
  built: ReadonlyMap<string | undefined, StageFolder>,
  machine: Readonly<Record<string, string>>
) {
  mkdirSync(folder)
  let workdir = "/"
  const env: Record<string, string> = {}
  const owners: Record<string, string> = {}
  for (const instruction of stage.instructions) {
    switch (instruction.kind) {
      case "WORKDIR":
        workdir = instruction.path
        mkdirSync(join(folder, workdir), { recursive: true })
        break
      case "ENV":
        Object.assign(env, instruction.values)
        break
      case "COPY": {
        const from = built.get(instruction.from)
        if (from === undefined) return yield* Effect.die(new Error(`no stage ${instruction.from}`))
        const target = posix.resolve(workdir, instruction.target)
        copy(instruction, from.folder, join(folder, target))
        if (instruction.chown !== undefined) owners[target] = instruction.chown
        break
      }
      case "RUN": {
        const { command } = instruction
        // An absolute path would refer to this machine, not the stage.
        if (/(^|[^\w.])\//.test(command)) {
          return yield* Effect.die(new Error(`RUN with an absolute path: ${command}`))
        }
        const options = { cwd: join(folder, workdir), env: { ...machine, ...env } }
        yield* Effect.promise((signal) => run("sh", ["-c", command], { ...options, signal }))
        break
      }
    }
  }
  return { folder, workdir, env, owners } satisfies StageFolder
})

const copy = ({ chown, sources, target }: Copy, from: string, to: string): void => {
  const isIntoFolder = target.endsWith("/")
  if (sources.length > 1 && !isIntoFolder) throw new Error(`COPY to ${target}: expected a /`)
  for (const source of sources) {
    const path = join(from, source)
    const stat = lstatSync(path)
    if (stat.isSymbolicLink()) throw new Error(`COPY of a link: ${source}`)
    const file = stat.isFile() && isIntoFolder ? join(to, basename(source)) : to
    cpSync(path, file, { recursive: true, verbatimSymlinks: true })
  }
  if (chown !== undefined && process.getuid?.() === 0) {
    const [uid, gid] = chown.split(":").map(Number)
    chownSync(to, uid!, gid!)
  }
}
