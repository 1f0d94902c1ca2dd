/**
 * Goal: each container has exactly the expected settings, for any number of clients. Method: the
 * file is read as YAML and its shared parts are merged into each service.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Duration, Effect, Schema } from "effect"
import * as Yaml from "effect/encoding/Yaml"
import { describe, expect, it } from "vitest"
import { STORE_CLOSE_TIMEOUT } from "../../../src/cli/commands/server.ts"
import {
  type ComposeParameters,
  MAX_CLIENTS,
  MAX_SERVERS,
  makeComposeFile,
  quoted
} from "../../../src/cli/compose/ComposeFile.ts"
import { RESERVED_FILES } from "../../../src/cli/process/OpenFiles.ts"
import { FLUSH_TIMEOUT } from "../../../src/cli/process/run.ts"
import { Bet } from "../../../src/domain/Bet.ts"
import { ServerLimits } from "../../../src/server/admission/ServerLimits.ts"
import * as HttpConnections from "../../../src/server/operator/http/HttpConnections.ts"

const root = join(import.meta.dirname, "..", "..", "..")

const Service = Schema.Record(Schema.String, Schema.Unknown)
const File = Schema.Struct({
  name: Schema.String,
  "x-container": Service,
  "x-server": Schema.optional(Service),
  "x-client": Service,
  services: Schema.Record(Schema.String, Service),
  networks: Schema.Record(Schema.String, Schema.Unknown),
  volumes: Schema.Record(Schema.String, Schema.Unknown)
})
const decodeFile = Schema.decodeUnknownSync(File, { onExcessProperty: "error" })

const read = (parameters: ComposeParameters) => decodeFile(Yaml.parse(makeComposeFile(parameters)))

const CONTAINED = {
  image: "lottery:latest",
  pull_policy: "never",
  networks: ["testing_net"],
  read_only: true,
  tmpfs: ["/tmp"],
  cap_drop: ["ALL"],
  security_opt: ["no-new-privileges:true"],
  pids_limit: 64,
  mem_limit: "512m",
  ulimits: { nofile: 1024 }
}

const healthy = (services: ReadonlyArray<string>) =>
  Object.fromEntries(services.map((service) => [service, { condition: "service_healthy" }]))

const client = (agency: number, servers: ReadonlyArray<string> = ["server"]) => ({
  ...CONTAINED,
  container_name: `client${agency}`,
  command: ["client", "--config", "/config/client.yaml"],
  environment: { CLI_ID: String(agency) },
  volumes: ["./config/client.yaml:/config/client.yaml:ro", "./.data:/lottery/.data:ro"],
  depends_on: healthy(servers)
})

const clientsOf = (clients: number, servers?: ReadonlyArray<string>) =>
  Object.fromEntries(
    Array.from({ length: clients }, (_, index) => [
      `client${index + 1}`,
      client(index + 1, servers)
    ])
  )

const server = (clients: number) => ({
  ...CONTAINED,
  container_name: "server",
  command: [
    ...["server", "--config", "/config/server.ini"],
    ...["--agencies", String(clients), "--store", "sqlite:/data/lottery.db"]
  ],
  volumes: ["./config/server.ini:/config/server.ini:ro", "data:/data"],
  healthcheck: {
    test: ["CMD", "lottery", "ping", "--config", "/config/server.ini", "--log-level", "error"],
    interval: "3s",
    timeout: "10s",
    retries: 10,
    start_period: "60s"
  },
  restart: "on-failure:3",
  stop_grace_period: "30s",
  mem_limit: "3g",
  ulimits: { nofile: 16_384 }
})

describe.each([1, 5, MAX_CLIENTS])("a file for %i clients", (clients) => {
  const file = read({ clients })

  it("has one server and these clients, with exactly these settings", () => {
    expect(file.services).toEqual({
      server: server(clients),
      ...clientsOf(clients)
    })
  })

  it("is a project with one volume", () => {
    expect(file.name).toBe("tp0")
    expect(file.volumes).toEqual({ data: null })
  })
})

/** Compose inserts the variable, or the default if it is not set or empty. */
const PASSWORD = `\${POSTGRES_PASSWORD:-lottery}`

const postgres = {
  image: expect.stringMatching(/^postgres:17\.\d+-alpine@sha256:[0-9a-f]{64}$/),
  container_name: "postgres",
  command: ["postgres", "-c", "max_connections=200"],
  networks: ["store_net"],
  security_opt: ["no-new-privileges:true"],
  pids_limit: 256,
  mem_limit: "2g",
  ulimits: { nofile: 4096 },
  environment: {
    POSTGRES_USER: "lottery",
    POSTGRES_PASSWORD: PASSWORD,
    POSTGRES_DB: "lottery"
  },
  volumes: ["postgres:/var/lib/postgresql/data"],
  healthcheck: {
    test: ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", "lottery", "-d", "lottery"],
    interval: "3s",
    timeout: "10s",
    retries: 10,
    start_period: "60s"
  },
  restart: "on-failure",
  stop_grace_period: "60s"
}

const postgresServer = (name: string, clients: number) => ({
  ...server(clients),
  container_name: name,
  networks: { testing_net: null, store_net: null },
  command: ["server", "--config", "/config/server.ini", "--agencies", String(clients)],
  environment: { LOTTERY_STORE: `postgres://lottery:${PASSWORD}@postgres:5432/lottery` },
  volumes: ["./config/server.ini:/config/server.ini:ro"],
  depends_on: healthy(["postgres"]),
  restart: "on-failure:10"
})

describe("on PostgreSQL", () => {
  it("a single server is the service `server`, which the clients wait for", () => {
    const { services, ...file } = read({ clients: 3, postgresServers: 1 })
    expect(services).toEqual({
      postgres,
      server: postgresServer("server", 3),
      ...clientsOf(3)
    })
    expect(file["x-server"]).toBeUndefined()
  })

  it.each([
    [2, 5],
    [MAX_SERVERS, MAX_CLIENTS]
  ])("%i servers answer to one name, and each of %i clients waits for all", (servers, clients) => {
    const { services } = read({ clients, postgresServers: servers })
    const names = Array.from({ length: servers }, (_, index) => `server${index + 1}`)
    const networks = { testing_net: { aliases: ["server"] }, store_net: null }
    expect(services).toEqual({
      postgres,
      ...Object.fromEntries(
        names.map((name) => [name, { ...postgresServer(name, clients), networks }])
      ),
      ...clientsOf(clients, names)
    })
  })

  it.each([1, 2])("%i servers: the only volume is PostgreSQL's", (servers) => {
    expect(read({ clients: 5, postgresServers: servers }).volumes).toEqual({ postgres: null })
  })

  it("the shared settings of several servers are written once", () => {
    const text = makeComposeFile({ clients: 5, postgresServers: 9 })
    expect(text.split("LOTTERY_STORE")).toHaveLength(2)
    expect(text.split("--agencies")).toHaveLength(2)
  })

  it.each([1, 2])("%i servers: the password is only in their environments", (servers) => {
    const file = read({ clients: 5, postgresServers: servers })
    const where = (part: unknown, path: string): ReadonlyArray<string> =>
      typeof part === "object" && part !== null
        ? Object.entries(part).flatMap(([key, inner]) => where(inner, `${path}.${key}`))
        : String(part).includes("PASSWORD")
          ? [path]
          : []
    const names = Object.keys(file.services).filter((name) => name.startsWith("server"))
    expect(names).toHaveLength(servers)
    expect(where(file.services, "services")).toEqual([
      "services.postgres.environment.POSTGRES_PASSWORD",
      ...names.map((name) => `services.${name}.environment.LOTTERY_STORE`)
    ])
  })

  it("each client can have one bet", () => {
    const { services } = read({ clients: 2, postgresServers: 2, oneBetSeed: 1 })
    expect(services.client2).toEqual({
      ...client(2, ["server1", "server2"]),
      environment: read({ clients: 2, oneBetSeed: 1 }).services.client2?.environment,
      volumes: ["./config/client.yaml:/config/client.yaml:ro"]
    })
  })
})

describe("boards", () => {
  const withBoard = (command: ReadonlyArray<string>) => [
    ...command.slice(0, 5),
    ...["--http", "0.0.0.0:8080"],
    ...command.slice(5)
  ]

  it("the only server publishes its own on loopback", () => {
    for (const postgresServers of [undefined, 1]) {
      const plain = read({ clients: 2, postgresServers }).services
      const { command } = plain.server as { readonly command: ReadonlyArray<string> }
      expect(read({ clients: 2, postgresServers, http: true }).services).toEqual({
        ...plain,
        server: {
          ...plain.server,
          command: withBoard(command),
          ports: ["127.0.0.1:8080:8080"]
        }
      })
    }
  })

  it("each of several servers publishes its own on a port of its own", () => {
    const { services } = read({ clients: 2, postgresServers: MAX_SERVERS, http: true })
    const servers = Object.entries(services).filter(([name]) => name.startsWith("server"))
    expect(servers).toHaveLength(MAX_SERVERS)
    for (const [index, [name, service]] of servers.entries()) {
      const plain = postgresServer(name, 2)
      expect(service).toEqual({
        ...plain,
        networks: { testing_net: { aliases: ["server"] }, store_net: null },
        command: withBoard(plain.command),
        ports: [`127.0.0.1:${8080 + index}:8080`]
      })
    }
  })

  it("a server may open enough files for them as well", () => {
    const { maxConnections } = Effect.runSync(ServerLimits)
    expect(server(1).ulimits.nofile).toBeGreaterThanOrEqual(
      maxConnections + RESERVED_FILES + HttpConnections.MAX_CONNECTIONS
    )
  })
})

it("a bridge has ports for all of them and for two observers", () => {
  const services = Object.keys(
    read({ clients: MAX_CLIENTS, postgresServers: MAX_SERVERS }).services
  )
  expect(services.length + 2).toBeLessThanOrEqual(1023)
})

const SMALL = "172.25.125.0/24"
const LARGE = "172.25.120.0/21"

it.each<[ComposeParameters, string]>([
  [{ clients: 1 }, SMALL],
  [{ clients: 250 }, SMALL],
  [{ clients: 251 }, LARGE],
  [{ clients: MAX_CLIENTS }, LARGE],
  [{ clients: 250, postgresServers: 1 }, SMALL],
  [{ clients: 251, postgresServers: 1 }, LARGE],
  [{ clients: 240, postgresServers: 11 }, SMALL],
  [{ clients: 240, postgresServers: 12 }, LARGE],
  [{ clients: MAX_CLIENTS, postgresServers: MAX_SERVERS }, LARGE]
])("for %j the clients' network is %s, and PostgreSQL has another", (parameters, subnet) => {
  const { networks } = read(parameters)
  expect(networks).toEqual({
    testing_net: { driver: "bridge", ipam: { config: [{ subnet }] } },
    ...(parameters.postgresServers !== undefined && {
      store_net: { driver: "bridge", internal: true }
    })
  })
})

it("a server may open enough files for its connections and its own files", () => {
  const { maxConnections } = Effect.runSync(ServerLimits)
  const { nofile } = server(1).ulimits
  expect(nofile).toBeGreaterThanOrEqual(maxConnections + RESERVED_FILES)
})

describe("one bet each", () => {
  const clients = 40
  const betsOf = (oneBetSeed: number) => {
    const { services } = read({ clients, oneBetSeed })
    return Array.from({ length: clients }, (_, index) => services[`client${index + 1}`]!)
  }
  const Environment = Schema.Struct({
    CLI_ID: Schema.String,
    NOMBRE: Schema.String,
    APELLIDO: Schema.String,
    DOCUMENTO: Schema.String,
    NACIMIENTO: Schema.String,
    NUMERO: Schema.String
  })
  const decodeEnvironment = Schema.decodeUnknownSync(Environment, { onExcessProperty: "error" })
  const decodeBet = Schema.decodeUnknownSync(Bet)

  it("is a valid bet, and the client has no book", () => {
    for (const [index, service] of betsOf(1).entries()) {
      const { APELLIDO, CLI_ID, DOCUMENTO, NACIMIENTO, NOMBRE, NUMERO } = decodeEnvironment(
        service.environment
      )
      expect(CLI_ID).toBe(String(index + 1))
      const bet = decodeBet({
        firstName: NOMBRE,
        lastName: APELLIDO,
        document: DOCUMENTO,
        birthdate: NACIMIENTO,
        number: NUMERO
      })
      expect(bet.document).toHaveLength(8)
      expect(service).toEqual({
        ...client(index + 1),
        environment: service.environment,
        volumes: ["./config/client.yaml:/config/client.yaml:ro"]
      })
    }
  })

  it("depends on the seed and on the agency", () => {
    expect(betsOf(1)).toEqual(betsOf(1))
    const documents = [...betsOf(1), ...betsOf(2)].map(
      ({ environment }) => decodeEnvironment(environment).DOCUMENTO
    )
    expect(new Set(documents).size).toBe(2 * clients)
  })

  it("is in double quotes, with its accents", () => {
    const text = makeComposeFile({ clients, oneBetSeed: 1 })
    expect(text).toMatch(/^ {6}APELLIDO: "\p{Lu}\p{Ll}*[áéíóúñ]\p{Ll}*"$/mu)
  })
})

it("a quoted text reads back unchanged, with $ doubled for Compose", () => {
  const text = 'Inés "la \\ de" $HOME: {a} #b\t$$'
  expect(Yaml.parse(`key: ${quoted(text)}`)).toEqual({ key: text.replaceAll("$", () => "$$") })
})

it("the first line says how the file was written", () => {
  const firstLine = (parameters: ComposeParameters) => makeComposeFile(parameters).split("\n")[0]
  expect(firstLine({ clients: 5 })).toBe("# Written by: lottery compose --clients 5")
  expect(firstLine({ clients: 2, oneBetSeed: 7 })).toBe(
    "# Written by: lottery compose --clients 2 --one-bet --seed 7"
  )
  expect(firstLine({ clients: 5, postgresServers: 1 })).toBe(
    "# Written by: lottery compose --clients 5 --store postgres"
  )
  const all = { clients: 2, oneBetSeed: 7, postgresServers: 3, http: true }
  const flags = "--clients 2 --one-bet --seed 7 --store postgres --servers 3 --http"
  expect(firstLine(all)).toBe(`# Written by: lottery compose ${flags}`)
  expect(firstLine({ clients: 5, http: true })).toBe(
    "# Written by: lottery compose --clients 5 --http"
  )
})

it("the committed file is for five clients", () => {
  const committed = readFileSync(join(root, "docker-compose-dev.yaml"), "utf8")
  expect(committed).toBe(makeComposeFile({ clients: 5 }))
})

it("a server stops within Docker's 10 s, whatever hangs, and the file allows more", () => {
  const limits = Effect.runSync(ServerLimits)
  const longest =
    Duration.toMillis(limits.connectionsCloseTimeout) +
    2 * Duration.toMillis(limits.listenerCloseTimeout) +
    Duration.toMillis(STORE_CLOSE_TIMEOUT)
  expect(longest).toBeLessThanOrEqual(10_000)
  const given = read({ clients: 1 }).services.server?.stop_grace_period
  expect(given).toMatch(/^\d+s$/)
  expect(Number.parseInt(String(given), 10) * 1000).toBeGreaterThan(
    longest + Duration.toMillis(FLUSH_TIMEOUT)
  )
})
