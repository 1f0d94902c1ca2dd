/**
 * Goal: what each container is, may do and sees, whatever the number of clients. Method: the file
 * is read as YAML, its shared parts merged into each service.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Duration, Effect, Schema } from "effect"
import * as Yaml from "effect/encoding/Yaml"
import { describe, expect, it } from "vitest"
import {
  type ComposeParameters,
  MAX_CLIENTS,
  makeComposeFile,
  quoted
} from "../../src/cli/ComposeFile.ts"
import { FLUSH_TIMEOUT } from "../../src/cli/run.ts"
import { STORE_CLOSE_TIMEOUT } from "../../src/cli/server.ts"
import { Bet } from "../../src/domain/Bet.ts"
import { ServerLimits } from "../../src/server/ServerLimits.ts"

const root = join(import.meta.dirname, "..", "..")

const Service = Schema.Record(Schema.String, Schema.Unknown)
const File = Schema.Struct({
  name: Schema.String,
  "x-container": Service,
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
  security_opt: ["no-new-privileges:true"]
}

const client = (agency: number) => ({
  ...CONTAINED,
  container_name: `client${agency}`,
  command: ["client", "--config", "/config/client.yaml"],
  environment: { CLI_ID: String(agency) },
  volumes: ["./config/client.yaml:/config/client.yaml:ro", "./.data:/lottery/.data:ro"],
  depends_on: { server: { condition: "service_healthy" } }
})

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
  stop_grace_period: "30s"
})

describe.each([1, 5, MAX_CLIENTS])("a file for %i clients", (clients) => {
  const file = read({ clients })
  const agencies = Array.from({ length: clients }, (_, index) => index + 1)

  it("has one server and these clients, each with this and nothing more", () => {
    expect(file.services).toEqual({
      server: server(clients),
      ...Object.fromEntries(agencies.map((agency) => [`client${agency}`, client(agency)]))
    })
  })

  it("is a project with one volume", () => {
    expect(file.name).toBe("tp0")
    expect(file.volumes).toEqual({ data: null })
  })
})

it.each([
  [1, "172.25.125.0/24"],
  [250, "172.25.125.0/24"],
  [251, "172.25.120.0/21"],
  [MAX_CLIENTS, "172.25.120.0/21"]
])("for %i clients the network is %s", (clients, subnet) => {
  const { networks } = read({ clients })
  expect(networks).toEqual({
    testing_net: { driver: "bridge", ipam: { config: [{ subnet }] } }
  })
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

  it("is a bet, and the client of its agency sees no book", () => {
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

  it("is the same for the same seed, another for another seed and for another agency", () => {
    expect(betsOf(1)).toEqual(betsOf(1))
    const documents = [...betsOf(1), ...betsOf(2)].map(
      ({ environment }) => decodeEnvironment(environment).DOCUMENTO
    )
    expect(new Set(documents).size).toBe(2 * clients)
  })

  it("is written in double quotes, with its accents", () => {
    const text = makeComposeFile({ clients, oneBetSeed: 1 })
    expect(text).toMatch(/^ {6}APELLIDO: "\p{Lu}\p{Ll}*[áéíóúñ]\p{Ll}*"$/mu)
  })
})

it("a text in double quotes is read as it was, a $ as Compose wants it", () => {
  const text = 'Inés "la \\ de" $HOME: {a} #b\t$$'
  expect(Yaml.parse(`key: ${quoted(text)}`)).toEqual({ key: text.replaceAll("$", () => "$$") })
})

it("says how it was written", () => {
  const firstLine = (parameters: ComposeParameters) => makeComposeFile(parameters).split("\n")[0]
  expect(firstLine({ clients: 5 })).toBe("# Written by: lottery compose --clients 5")
  expect(firstLine({ clients: 2, oneBetSeed: 7 })).toBe(
    "# Written by: lottery compose --clients 2 --one-bet --seed 7"
  )
})

it("the committed file is the one for five clients", () => {
  const committed = readFileSync(join(root, "docker-compose-dev.yaml"), "utf8")
  expect(committed).toBe(makeComposeFile({ clients: 5 }))
})

it("a server is given the time that it takes at most to stop", () => {
  const limits = Effect.runSync(ServerLimits)
  const longest =
    Duration.toMillis(limits.connectionsCloseTimeout) +
    2 * Duration.toMillis(limits.listenerCloseTimeout) +
    Duration.toMillis(STORE_CLOSE_TIMEOUT) +
    Duration.toMillis(FLUSH_TIMEOUT)
  const given = read({ clients: 1 }).services.server?.stop_grace_period
  expect(given).toMatch(/^\d+s$/)
  expect(Number.parseInt(String(given), 10) * 1000).toBeGreaterThan(longest)
})
