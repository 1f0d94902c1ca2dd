/**
 * The servers of a Compose file, and where they keep the bets: one server with SQLite in a volume,
 * or some that share a draw through PostgreSQL. Clients know all of them as `server`.
 */

export interface ServersParameters {
  /** Clients, and so agencies: 1 to 1,000. */
  readonly clients: number
  /** How many servers share a PostgreSQL, 1 to 20; where it is left out, one server has SQLite. */
  readonly postgresServers?: number | undefined
}

/** The services that are a server each. */
export const serverNames = ({ postgresServers = 1 }: ServersParameters): ReadonlyArray<string> =>
  postgresServers === 1
    ? ["server"]
    : Array.from({ length: postgresServers }, (_, index) => `server${index + 1}`)

/** Lines with so many spaces before each, and without the end of the last. */
export const indent = (spaces: number, lines: string): string =>
  lines.trimEnd().replace(/^/gm, " ".repeat(spaces))

/** Where a service waits for others. */
export const dependsOn = (services: ReadonlyArray<string>): string => `\
depends_on:
${services.map((service) => `  ${service}:\n    condition: service_healthy\n`).join("")}`

/** What a server has because of its store. */
interface Store {
  /** The networks that it is on beside that of the clients. */
  readonly network: string
  /** The end of its command. */
  readonly flags: string
  readonly environment: string
  /** The end of its volumes. */
  readonly volume: string
  readonly dependsOn: string
  readonly restart: string
}

const SQLITE: Store = {
  network: "",
  flags: `\
  - --store
  - sqlite:/data/lottery.db
`,
  environment: "",
  volume: "  - data:/data\n",
  dependsOn: "",
  restart: `\
# After a failure it goes on from what its store holds; a wrong setting fails again.
restart: on-failure:3
`
}

/** Compose puts in the variable of where it runs, or else what stands behind the dash. */
const PASSWORD = `\${POSTGRES_PASSWORD:-lottery}`

/** Where PostgreSQL is, and the servers, but no client. */
const STORE_NETWORK = "store_net"

const POSTGRES: Store = {
  network: `  ${STORE_NETWORK}:\n`,
  flags: "",
  // Here, where no list of processes shows the password.
  environment: `\
environment:
  # In the clear, which each server warns of: only PostgreSQL and the servers are on this network,
  # which does not leave the machine. For a PostgreSQL elsewhere add ?sslmode=require.
  LOTTERY_STORE: "postgres://lottery:${PASSWORD}@postgres:5432/lottery"
`,
  volume: "",
  dependsOn: dependsOn(["postgres"]),
  restart: `\
# Ten times within 100 s, ever later: PostgreSQL may be back by then; a wrong setting is not.
restart: on-failure:10
`
}

const storeOf = ({ postgresServers }: ServersParameters): Store =>
  postgresServers === undefined ? SQLITE : POSTGRES

/** One name for several; Docker answers with the addresses of those that run. */
const ALIAS = "    aliases: [server]\n"

/** The networks of a server, where they are others than those of every container. */
const networksOf = (parameters: ServersParameters): string => {
  const { network } = storeOf(parameters)
  const alias = serverNames(parameters).length === 1 ? "" : ALIAS
  return network === "" ? "" : `networks:\n  testing_net:\n${alias}${network}`
}

/** What every server has, beside its name. */
const server = (parameters: ServersParameters): string => {
  const { dependsOn, environment, flags, restart, volume } = storeOf(parameters)
  return `\
${networksOf(parameters)}\
command:
  - server
  - --config
  - /config/server.ini
  - --agencies
  - "${parameters.clients}"
${flags}\
${environment}\
volumes:
  - ./config/server.ini:/config/server.ini:ro
${volume}\
healthcheck:
  test: ["CMD", "lottery", "ping", "--config", "/config/server.ini", "--log-level", "error"]
  interval: 3s
  timeout: 10s
  retries: 10
  start_period: 60s
${dependsOn}\
${restart}\
# A server may take 10 s to stop; mostly it is under one.
stop_grace_period: 30s
# Enough for 10,000 connections, the most that a server takes, with TLS too.
mem_limit: 3g
ulimits:
  nofile: 16384
`
}

/** What several servers share; one alone has it itself. */
export const sharedByServers = (parameters: ServersParameters): string => {
  if (serverNames(parameters).length === 1) return ""
  return `
x-server: &server
  <<: *container
${indent(2, server(parameters))}
`
}

/** docker buildx imagetools inspect postgres:VERSION-alpine shows the digest of another version. */
const POSTGRES_DIGEST = "sha256:18cfe3ef5e6815560c98237d6216d1e5119702fb0f3894c8785dd58b8bbe5d73"

/**
 * The official image, as it is made to run: it begins as root to own its volume, and goes on as a
 * user of its own.
 */
const postgres = `
  postgres:
    image: postgres:17.11-alpine@${POSTGRES_DIGEST}
    container_name: postgres
    # A server may take 8 connections, and there are 20 servers at most.
    command: ["postgres", "-c", "max_connections=200"]
    networks: [${STORE_NETWORK}]
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

const lone = (parameters: ServersParameters): string => `
  server:
    <<: *container
    container_name: server
${indent(4, server(parameters))}
`

const oneOfSeveral = (name: string): string => `
  ${name}:
    <<: *server
    container_name: ${name}
`

/** The servers, and before them what they wait for. */
export const serverServices = (parameters: ServersParameters): ReadonlyArray<string> => {
  const names = serverNames(parameters)
  const servers = names.length === 1 ? [lone(parameters)] : names.map(oneOfSeveral)
  return parameters.postgresServers === undefined ? servers : [postgres, ...servers]
}

/** The network of PostgreSQL, from which nothing else can be reached. */
export const storeNetwork = (parameters: ServersParameters): string =>
  parameters.postgresServers === undefined
    ? ""
    : `  ${STORE_NETWORK}:\n    driver: bridge\n    internal: true\n`

/** The volume with the bets. */
export const volumes = ({ postgresServers }: ServersParameters): string => `
volumes:
  ${postgresServers === undefined ? "data" : "postgres"}:
`
