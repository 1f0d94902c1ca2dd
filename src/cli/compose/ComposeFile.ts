/**
 * The text of a Compose file that runs servers and their clients, each in a container of its own:
 * one server with SQLite in a volume, or some that share a draw through PostgreSQL. Clients know
 * all of them as `server`. As the Compose specification says; docker-compose 1.29 knows all of it
 * except `name`. It is put together from text because a YAML encoder would leave out the comments,
 * which are for the people who edit the file.
 */
import { generateBook } from "../files/GeneratedBook.ts"

/** A Linux bridge has 1,023 ports: for these, and for two that observe the network. */
export const MAX_CLIENTS = 1000
export const MAX_SERVERS = 20

export interface ComposeParameters {
  /** Clients, and so agencies: 1 to 1,000. */
  readonly clients: number
  /** How many servers share a PostgreSQL, 1 to 20; if it is left out, one server has SQLite. */
  readonly postgresServers?: number | undefined
  /** Chooses the made-up bet that each client sends in place of its agency's book. */
  readonly oneBetSeed?: number | undefined
}

/** How many containers the smaller network has addresses for, without its gateway. */
const SMALL_NETWORK_CONTAINERS = 251
const SMALL_SUBNET = "172.25.125.0/24"
const LARGE_SUBNET = "172.25.120.0/21"

/** The fields of a bet in the environment of a client, in the order of a book's line. */
const BET_KEYS = ["NOMBRE", "APELLIDO", "DOCUMENTO", "NACIMIENTO", "NUMERO"]

/** Compose inserts the variable of its own environment, or else what follows the dash. */
const PASSWORD = `\${POSTGRES_PASSWORD:-lottery}`

/** A double-quoted string, the same in JSON and YAML; Compose takes a single $ for a variable. */
export const quoted = (text: string): string => JSON.stringify(text).replaceAll("$", "$$$$")

/** Indents each line, and drops the end of the last. */
const indent = (spaces: number, lines: string): string =>
  lines.trimEnd().replace(/^/gm, " ".repeat(spaces))

const serverNames = ({ postgresServers = 1 }: ComposeParameters): ReadonlyArray<string> =>
  postgresServers === 1
    ? ["server"]
    : Array.from({ length: postgresServers }, (_, index) => `server${index + 1}`)

const dependsOn = (services: ReadonlyArray<string>): string => `\
depends_on:
${services.map((service) => `  ${service}:\n    condition: service_healthy\n`).join("")}`

const header = ({ clients, oneBetSeed, postgresServers = 0 }: ComposeParameters): string => {
  const oneBet = oneBetSeed === undefined ? "" : ` --one-bet --seed ${oneBetSeed}`
  const store = postgresServers === 0 ? "" : " --store postgres"
  const servers = postgresServers <= 1 ? "" : ` --servers ${postgresServers}`
  return `# Written by: lottery compose --clients ${clients}${oneBet}${store}${servers}
name: tp0
`
}

// The user is set by the image only: its folders belong to that user.
const CONTAINER = `
x-container: &container
  image: lottery:latest
  # It is built here: another one of the same name is never fetched in its place.
  pull_policy: never
  networks: [testing_net]
  read_only: true
  tmpfs: [/tmp]
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  # A command has some 12 threads, and a health check is another command.
  pids_limit: 64
  mem_limit: 512m
  ulimits:
    nofile: 1024
`

/** What a server has because of its store, in the order of its lines. */
const onSqlite = () => ({
  networks: "",
  store: `\
  - --store
  - sqlite:/data/lottery.db
`,
  volume: "  - data:/data\n",
  restart: `\
# After a failure it goes on from what its store holds; a wrong setting fails again.
restart: on-failure:3
`
})

const onPostgres = (servers: number) => ({
  // One name for several servers; Docker answers with the addresses of those that run.
  networks: `\
networks:
  testing_net:
${servers === 1 ? "" : "    aliases: [server]\n"}\
  store_net:
`,
  // In the environment, where no list of processes shows the password.
  store: `\
environment:
  # In the clear, which each server warns of: only PostgreSQL and the servers are on this network,
  # which does not leave the machine. For a PostgreSQL elsewhere add ?sslmode=require.
  LOTTERY_STORE: "postgres://lottery:${PASSWORD}@postgres:5432/lottery"
`,
  volume: "",
  restart: `\
${dependsOn(["postgres"])}\
# Ten times within 100 s, ever later: PostgreSQL may be back by then; a wrong setting is not.
restart: on-failure:10
`
})

/** What every server has besides its name. */
const server = ({ clients, postgresServers }: ComposeParameters): string => {
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
# A server may take 10 s to stop; mostly it is under one.
stop_grace_period: 30s
# Enough for 10,000 connections, the most that a server takes, with TLS too.
mem_limit: 3g
ulimits:
  nofile: 16384
`
}

/** docker buildx imagetools inspect postgres:VERSION-alpine shows the digest of another version. */
const POSTGRES_DIGEST = "sha256:18cfe3ef5e6815560c98237d6216d1e5119702fb0f3894c8785dd58b8bbe5d73"

/**
 * The official image, as it is made to run: it begins as root to own its volume, and goes on as a
 * user of its own.
 */
const POSTGRES = `
  postgres:
    image: postgres:17.11-alpine@${POSTGRES_DIGEST}
    container_name: postgres
    # A server may take 8 connections, and there are 20 servers at most.
    command: ["postgres", "-c", "max_connections=200"]
    networks: [store_net]
    security_opt: ["no-new-privileges:true"]
    # A process for each connection, and those of its own.
    pids_limit: 256
    mem_limit: 2g
    ulimits:
      nofile: 4096
    environment:
      POSTGRES_USER: lottery
      # To change it, set POSTGRES_PASSWORD where Compose runs, or in a file .env beside this one:
      # letters, digits and -._~ alone, as it stands in a URL too. A volume keeps its first one.
      POSTGRES_PASSWORD: "${PASSWORD}"
      POSTGRES_DB: lottery
    volumes:
      - postgres:/var/lib/postgresql/data
    healthcheck:
      # Over TCP, where it does not answer before its first start has made the database.
      test: ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", "lottery", "-d", "lottery"]
      interval: 3s
      timeout: 10s
      retries: 10
      start_period: 60s
    # After a failure it recovers what was committed.
    restart: on-failure
    # A checkpoint comes before its end.
    stop_grace_period: 60s
`

/** What several servers share; a single one has it itself. */
const sharedByServers = (parameters: ComposeParameters): string =>
  `\nx-server: &server\n  <<: *container\n${indent(2, server(parameters))}\n`

const oneOfSeveral = (name: string): string =>
  `\n  ${name}:\n    <<: *server\n    container_name: ${name}\n`

const onlyServer = (parameters: ComposeParameters): string => `
  server:
    <<: *container
    container_name: server
${indent(4, server(parameters))}
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

/** The one bet that a client sends, as its environment has it. */
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

/** The Compose file for these parameters; the same parameters make the same text. */
export const makeComposeFile = (parameters: ComposeParameters): string => {
  const { clients, oneBetSeed, postgresServers } = parameters
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
    ...(isShared ? servers.map(oneOfSeveral) : [onlyServer(parameters)]),
    ...Array.from({ length: clients }, (_, index) => client(index + 1, oneBetSeed)),
    networks(servers.length + clients, hasPostgres),
    `\nvolumes:\n  ${hasPostgres ? "postgres" : "data"}:\n`
  ].join("")
}
