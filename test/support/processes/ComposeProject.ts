/**
 * A Compose project with processes in place of containers: each is started from the command, the
 * environment and the mounted files that its Compose file and the image name. Only what a machine
 * without containers lacks is changed: a service's name is 127.0.0.1, the server's ports are free
 * ones, and a mount point is a folder.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { dirname, join } from "node:path"
import { Effect, Schedule, Schema } from "effect"
import * as Yaml from "effect/encoding/Yaml"
import { parse } from "../../image/Dockerfile.ts"
import { runLottery, startLottery } from "./lotteryCommand.ts"

const ROOT = join(import.meta.dirname, "..", "..", "..")

const Words = Schema.Array(Schema.String)

const Service = Schema.Struct({
  // Another one holds programs that a process in its place would not be.
  image: Schema.Literal("lottery:latest"),
  command: Words,
  environment: Schema.optional(Schema.Record(Schema.String, Schema.String)),
  volumes: Words,
  healthcheck: Schema.optional(Schema.Struct({ test: Words })),
  depends_on: Schema.optional(
    Schema.Record(Schema.String, Schema.Struct({ condition: Schema.Literal("service_healthy") }))
  )
})
type Service = typeof Service.Type

const ComposeFile = Schema.Struct({ services: Schema.Record(Schema.String, Service) })

/** The services of a Compose file; refused where one is not of this project's image. */
export const readServices = (text: string) =>
  Schema.decodeUnknownEffect(ComposeFile)(Yaml.parse(text))

export interface Project {
  readonly folder: string
  readonly services: Readonly<Record<string, Service>>
}

/** The port that is listened on for a moment, if it could be. */
const listenOn = (port: number) =>
  Effect.callback<number | undefined>((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.undefined))
    server.listen(port, () => {
      const address = server.address()
      const taken = address !== null && typeof address === "object" ? address.port : undefined
      server.close(() => resume(Effect.succeed(taken)))
    })
  })

/** A port that nobody listens on, nor on the next. */
const freePort: Effect.Effect<number> = Effect.gen(function* () {
  const port = yield* listenOn(0)
  const next = port === undefined ? undefined : yield* listenOn(port + 1)
  return next === undefined ? yield* freePort : next - 1
})

/** Puts `to` in the place of `from`, which must be there. */
export const replaceIn = (file: string, from: string, to: string): void => {
  const text = readFileSync(file, "utf8")
  if (!text.includes(from)) throw new Error(`${file}: expected ${from}`)
  writeFileSync(file, text.replace(from, to))
}

/** Writes the Compose file of so many clients into a folder, with its configuration beside it. */
export const makeProject = Effect.fnUntraced(function* (folder: string, clients: number) {
  const file = join(folder, "docker-compose-dev.yaml")
  const { code, stderr } = yield* runLottery({
    args: ["compose", "--clients", `${clients}`, "--out", file]
  })
  if (code !== 0) return yield* Effect.die(new Error(stderr))
  cpSync(join(ROOT, "config"), join(folder, "config"), { recursive: true })
  const port = yield* freePort
  replaceIn(join(folder, "config", "server.ini"), "SERVER_PORT = 12345", `SERVER_PORT = ${port}`)
  replaceIn(join(folder, "config", "client.yaml"), "server:12345", `127.0.0.1:${port}`)
  const { services } = yield* Effect.orDie(readServices(readFileSync(file, "utf8")))
  return { folder, services } satisfies Project
})

/** What the image says of every container: where it starts, and its environment. */
const image = (() => {
  const stage = parse(readFileSync(join(ROOT, "Dockerfile"), "utf8")).at(-1)!
  let workdir = "/"
  const env: Record<string, string> = {}
  for (const instruction of stage.instructions) {
    if (instruction.kind === "WORKDIR") workdir = instruction.path
    if (instruction.kind === "ENV") Object.assign(env, instruction.values)
  }
  return { workdir, env }
})()

/** A container's root: its mounts, and the folder in which it starts. */
const makeRoot = ({ folder }: Project, name: string, { volumes }: Service) => {
  const root = join(folder, "containers", name)
  rmSync(root, { recursive: true, force: true })
  mkdirSync(join(root, image.workdir), { recursive: true })
  const points = volumes.map((volume) => {
    const [source, point] = volume.split(":")
    // One that is no path is a volume of Docker's own.
    const target = source!.startsWith(".")
      ? join(folder, source!)
      : join(folder, "volumes", source!)
    if (!source!.startsWith(".")) mkdirSync(target, { recursive: true })
    mkdirSync(dirname(join(root, point!)), { recursive: true })
    symlinkSync(target, join(root, point!))
    return point!
  })
  /** A text of the container, with its mount points where they are on this machine. */
  const onThisMachine = (text: string): string =>
    points.reduce(
      (sofar, point) => sofar.replace(new RegExp(`(^|:)${point}(?=/|$)`), `$1${join(root, point)}`),
      text
    )
  return { root, onThisMachine }
}

/** Starts a service, and waits until it is healthy where it says how. */
export const startService = Effect.fnUntraced(function* (project: Project, name: string) {
  const service = project.services[name]!
  const { onThisMachine, root } = makeRoot(project, name, service)
  const container = {
    cwd: join(root, image.workdir),
    env: Object.fromEntries(
      Object.entries({ ...image.env, ...service.environment }).map(([key, value]) => [
        key,
        onThisMachine(value)
      ])
    )
  }
  const running = yield* startLottery({ ...container, args: service.command.map(onThisMachine) })
  if (service.healthcheck !== undefined) {
    const [, command, ...args] = service.healthcheck.test.map(onThisMachine)
    if (command !== "lottery") return yield* Effect.die(new Error(`unknown command: ${command}`))
    const check = Effect.flatMap(runLottery({ ...container, args }), ({ code, stderr }) =>
      code === 0 ? Effect.void : Effect.fail(stderr)
    )
    yield* Effect.orDie(Effect.retry(check, { times: 50, schedule: Schedule.spaced("100 millis") }))
  }
  return running
})

/** Starts every service, those last that wait for another; gives them by their names. */
export const up = Effect.fnUntraced(function* (project: Project) {
  const names = Object.keys(project.services)
  const waits = (name: string): boolean => project.services[name]!.depends_on !== undefined
  const first = yield* startAll(
    project,
    names.filter((name) => !waits(name))
  )
  return { ...first, ...(yield* startAll(project, names.filter(waits))) }
})

const startAll = Effect.fnUntraced(function* (project: Project, names: ReadonlyArray<string>) {
  const started = yield* Effect.forEach(
    names,
    (name) => Effect.map(startService(project, name), (running) => [name, running] as const),
    { concurrency: "unbounded" }
  )
  return Object.fromEntries(started)
})
