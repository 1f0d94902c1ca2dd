/**
 * Runs a Compose project with processes instead of containers, each with the command, environment
 * and mounted files from the Compose file and the image. Differences from containers: service names
 * become 127.0.0.1, the server uses free ports, and mount points are folders.
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
  // A process can stand in for no other image.
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

/** Reads the services of a Compose file. Fails if one uses another image than this project's. */
export const readServices = (text: string) =>
  Schema.decodeUnknownEffect(ComposeFile)(Yaml.parse(text))

export interface Project {
  readonly folder: string
  readonly services: Readonly<Record<string, Service>>
}

/** Listens on a port for a moment and returns it; undefined if it is taken. */
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

/** Finds a free port whose successor is also free. */
const freePort: Effect.Effect<number> = Effect.gen(function* () {
  const port = yield* listenOn(0)
  const next = port === undefined ? undefined : yield* listenOn(port + 1)
  return next === undefined ? yield* freePort : next - 1
})

/** Replaces `from`, which must occur in the file. */
export const replaceIn = (file: string, from: string, to: string): void => {
  const text = readFileSync(file, "utf8")
  if (!text.includes(from)) throw new Error(`${file}: expected ${from}`)
  writeFileSync(file, text.replace(from, to))
}

/** Writes a Compose file and its configuration into a folder. */
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

/** The working folder and environment that the image sets. */
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

/** Creates a folder as a container's root, with its mounts and working folder. */
const makeRoot = ({ folder }: Project, name: string, { volumes }: Service) => {
  const root = join(folder, "containers", name)
  rmSync(root, { recursive: true, force: true })
  mkdirSync(join(root, image.workdir), { recursive: true })
  const points = volumes.map((volume) => {
    const [source, point] = volume.split(":")
    // A source that is not a path is a named volume.
    const target = source!.startsWith(".")
      ? join(folder, source!)
      : join(folder, "volumes", source!)
    if (!source!.startsWith(".")) mkdirSync(target, { recursive: true })
    mkdirSync(dirname(join(root, point!)), { recursive: true })
    symlinkSync(target, join(root, point!))
    return point!
  })
  /** Replaces the container's mount points in a text with their folders on this machine. */
  const onThisMachine = (text: string): string =>
    points.reduce(
      (sofar, point) => sofar.replace(new RegExp(`(^|:)${point}(?=/|$)`), `$1${join(root, point)}`),
      text
    )
  return { root, onThisMachine }
}

/** Starts a service and waits until it is healthy, if it has a health check. */
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

/** Starts every service, dependent ones last, and returns them by name. */
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
