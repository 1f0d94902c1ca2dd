/**
 * Makes a Compose file that runs servers and clients in containers: one server with SQLite in a
 * volume, or several that share a draw through PostgreSQL. Clients know them all as `server`. The
 * file follows the Compose specification; docker-compose 1.29 supports it except for `name`. It is
 * built as text because a YAML encoder would omit the comments.
 */
import { generateBook } from "../files/GeneratedBook.ts"

/** A Linux bridge has 1,023 ports: enough for all clients, servers and two observers. */
export const MAX_CLIENTS = 1000
export const MAX_SERVERS = 20

export interface ComposeParameters {
  /** Clients, one per agency: 1 to 1,000. */
  readonly clients: number
  /** Servers that share a PostgreSQL, 1 to 20; if undefined, one server uses SQLite. */
  readonly postgresServers?: number | undefined
  /** If defined, each client sends one random bet instead of a book. */
  readonly oneBetSeed?: number | undefined
  /** Whether each server publishes its live board on this machine. */
  readonly http?: boolean
}

/** The addresses in the small subnet, without the gateway's. */
const SMALL_NETWORK_CONTAINERS = 251
const SMALL_SUBNET = "172.25.125.0/24"
const LARGE_SUBNET = "172.25.120.0/21"

/** Inside a container; on this machine, further servers get the ports after it. */
const HTTP_PORT = 8080

/** In the order of a book's line. */
const BET_KEYS = ["NOMBRE", "APELLIDO", "DOCUMENTO", "NACIMIENTO", "NUMERO"]

/** Compose inserts the variable, or the text after the dash if it is not set. */
const PASSWORD = `\${POSTGRES_PASSWORD:-lottery}`

/** Quotes a string for YAML; Compose would treat a single $ as a variable. */
export const quoted = (text: string): string => JSON.stringify(text).replaceAll("$", "$$$$")

/** Indents each line and drops the last line ending. */
const indent = (spaces: number, lines: string): string =>
  lines.trimEnd().replace(/^/gm, " ".repeat(spaces))

const serverNames = ({ postgresServers = 1 }: ComposeParameters): ReadonlyArray<string> =>
  postgresServers === 1
    ? ["server"]
    : Array.from({ length: postgresServers }, (_, index) => `server${index + 1}`)

const dependsOn = (services: ReadonlyArray<string>): string => `\
depends_on:
${services.map((service) => `  ${service}:\n    condition: service_healthy\n`).join("")}`

const header = (parameters: ComposeParameters): string => {
  const { clients, http, oneBetSeed, postgresServers = 0 } = parameters
  const oneBet = oneBetSeed === undefined ? "" : ` --one-bet --seed ${oneBetSeed}`
  const store = postgresServers === 0 ? "" : " --store postgres"
  const servers = postgresServers <= 1 ? "" : ` --servers ${postgresServers}`
  const board = http ? " --http" : ""
  return `# Written by: lottery compose --clients ${clients}${oneBet}${store}${servers}${board}
name: tp0
`
}

// No `user` here: the image sets it, and its folders belong to that user.
const CONTAINER = `
x-container: &container
  image: lottery:latest
  # Built on this machine: never pull another image of the same name.
  pull_policy: never
  networks: [testing_net]
  read_only: true
  tmpfs: [/tmp]
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  # A command has about 12 threads, and a health check is a second command.
  pids_limit: 64
  mem_limit: 512m
  ulimits:
    nofile: 1024
`

/** The lines of a server that depend on its store. */
const onSqlite = () => ({
  networks: "",
  store: `\
  - --store
  - sqlite:/data/lottery.db
`,
  volume: "  - data:/data\n",
  restart: `\
# After a failure it resumes from its store; with a wrong setting it would fail again.
restart: on-failure:3
`
})

const onPostgres = (servers: number) => ({
  // One name for several servers: Docker resolves it to those that are running.
  networks: `\
networks:
  testing_net:
${servers === 1 ? "" : "    aliases: [server]\n"}\
  store_net:
`,
  // In the environment, because a process list would show the password in an argument.
  store: `\
environment:
  # Without TLS. Each server logs a warning, but only PostgreSQL and the servers are on this
  # network, which stays on this machine. For a PostgreSQL elsewhere, add ?sslmode=require.
  LOTTERY_STORE: "postgres://lottery:${PASSWORD}@postgres:5432/lottery"
`,
  volume: "",
  restart: `\
${dependsOn(["postgres"])}\
# Ten times within 100 s, with growing delays: PostgreSQL may be back by then.
restart: on-failure:10
`
})

const HTTP_COMMAND = `\
  # Docker forwards connections to the container's own address, not to its loopback.
  - --http
  - 0.0.0.0:${HTTP_PORT}
`

const server = ({ clients, http, postgresServers }: ComposeParameters): string => {
  const { networks, restart, store, volume } =
    postgresServers === undefined ? onSqlite() : onPostgres(postgresServers)
  return `\
${networks}\
command:
  - server
  - --config
  - /config/server.ini
  - --agencies
  - "${clients}"
${http ? HTTP_COMMAND : ""}\
${store}\
volumes:
  - ./config/server.ini:/config/server.ini:ro
${volume}\
healthcheck:
  test: ["CMD", "lottery", "ping", "--config", "/config/server.ini", "--log-level", "error"]
  interval: 3s
  timeout: 10s
  retries: 10
  start_period: 60s
${restart}\
# A server may take 10 s to stop; usually it takes less than 1 s.
stop_grace_period: 30s
# Enough for 10,000 connections, a server's maximum, even with TLS.
mem_limit: 3g
ulimits:
  nofile: 16384
`
}

/** For another version: docker buildx imagetools inspect postgres:VERSION-alpine */
const POSTGRES_DIGEST = "sha256:18cfe3ef5e6815560c98237d6216d1e5119702fb0f3894c8785dd58b8bbe5d73"

/** The official image starts as root to take ownership of its volume, then changes its user. */
const POSTGRES = `
  postgres:
    image: postgres:17.11-alpine@${POSTGRES_DIGEST}
    container_name: postgres
    # A server may use 8 connections, and there are at most 20 servers.
    command: ["postgres", "-c", "max_connections=200"]
    networks: [store_net]
    security_opt: ["no-new-privileges:true"]
    # One process per connection, and PostgreSQL's own.
    pids_limit: 256
    mem_limit: 2g
    ulimits:
      nofile: 4096
    environment:
      POSTGRES_USER: lottery
      # To change it, set POSTGRES_PASSWORD in the environment of Compose or in a .env file next to
      # this file. Use only letters, digits and -._~, because the password is also part of a URL.
      # An existing volume keeps its first password.
      POSTGRES_PASSWORD: "${PASSWORD}"
      POSTGRES_DB: lottery
    volumes:
      - postgres:/var/lib/postgresql/data
    healthcheck:
      # Over TCP: on its first start it does not answer there until the database exists.
      test: ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", "lottery", "-d", "lottery"]
      interval: 3s
      timeout: 10s
      retries: 10
      start_period: 60s
    # After a failure it recovers all committed data.
    restart: on-failure
    # It writes a checkpoint before it exits.
    stop_grace_period: 60s
`

const sharedByServers = (parameters: ComposeParameters): string =>
  `\nx-server: &server\n  <<: *container\n${indent(2, server(parameters))}\n`

const oneOfSeveral = (name: string, ports: string): string =>
  `\n  ${name}:\n    <<: *server\n    container_name: ${name}\n${ports}`

const onlyServer = (parameters: ComposeParameters, ports: string): string => `
  server:
    <<: *container
    container_name: server
${ports}${indent(4, server(parameters))}
`

const sharedByClients = (parameters: ComposeParameters): string => `
x-client: &client
  <<: *container
  command: ["client", "--config", "/config/client.yaml"]
  volumes:
    - ./config/client.yaml:/config/client.yaml:ro
${parameters.oneBetSeed === undefined ? "    - ./.data:/lottery/.data:ro\n" : ""}\
${indent(2, dependsOn(serverNames(parameters)))}
`

const betOf = (agency: number, seed: number): string => {
  const book = Buffer.concat([...generateBook({ seed, agency, bets: 1 })])
  const fields = book.toString("utf8").trimEnd().split(",")
  return BET_KEYS.map((key, index) => `      ${key}: ${quoted(fields[index]!)}\n`).join("")
}

const client = (agency: number, seed: number | undefined): string => `
  client${agency}:
    <<: *client
    container_name: client${agency}
    environment:
      CLI_ID: "${agency}"
${seed === undefined ? "" : betOf(agency, seed)}`

const networks = (containers: number, hasPostgres: boolean): string => `
networks:
  testing_net:
    driver: bridge
    ipam:
      config:
        - subnet: ${containers > SMALL_NETWORK_CONTAINERS ? LARGE_SUBNET : SMALL_SUBNET}
${hasPostgres ? "  store_net:\n    driver: bridge\n    internal: true\n" : ""}`

export const makeComposeFile = (parameters: ComposeParameters): string => {
  const { clients, http, oneBetSeed, postgresServers } = parameters
  // Only on loopback: HTTP has neither encryption nor passwords.
  const portsOf = (index: number): string =>
    http ? `    ports: ["127.0.0.1:${HTTP_PORT + index}:${HTTP_PORT}"]\n` : ""
  const hasPostgres = postgresServers !== undefined
  const servers = serverNames(parameters)
  const isShared = servers.length > 1
  return [
    header(parameters),
    CONTAINER,
    ...(isShared ? [sharedByServers(parameters)] : []),
    sharedByClients(parameters),
    "\nservices:",
    ...(hasPostgres ? [POSTGRES] : []),
    ...(isShared
      ? servers.map((name, index) => oneOfSeveral(name, portsOf(index)))
      : [onlyServer(parameters, portsOf(0))]),
    ...Array.from({ length: clients }, (_, index) => client(index + 1, oneBetSeed)),
    networks(servers.length + clients, hasPostgres),
    `\nvolumes:\n  ${hasPostgres ? "postgres" : "data"}:\n`
  ].join("")
}
