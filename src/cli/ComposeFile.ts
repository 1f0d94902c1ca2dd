/**
 * The text of a Compose file that runs a server and its clients, each in a container of its own:
 * shared parts, a list of services, the volumes they name. Pure. As the Compose specification
 * says; docker-compose 1.29 knows all of it but `name`.
 */
import { generateBook } from "./GeneratedBook.ts"

/** A Linux bridge has 1,023 ports; the server takes one too, and who looks at it from beside. */
export const MAX_CLIENTS = 1000

export interface ComposeParameters {
  /** Clients, and so agencies: 1 to 1,000. */
  readonly clients: number
  /** Chooses the made-up bet that each client sends in place of its agency's book. */
  readonly oneBetSeed?: number | undefined
}

/** The clients for which the smaller network has addresses, beside its gateway and the server. */
const SMALL_NETWORK_CLIENTS = 250
const SMALL_SUBNET = "172.25.125.0/24"
const LARGE_SUBNET = "172.25.120.0/21"

/** The fields of a bet in the environment of a client, in the order of a book's line. */
const BET_KEYS = ["NOMBRE", "APELLIDO", "DOCUMENTO", "NACIMIENTO", "NUMERO"]

type Environment = ReadonlyArray<readonly [key: string, value: string]>

/** A double-quoted string, the same in JSON and YAML; Compose takes a single $ for a variable. */
export const quoted = (text: string): string => JSON.stringify(text).replaceAll("$", "$$$$")

const header = ({ clients, oneBetSeed }: ComposeParameters): string => {
  const oneBet = oneBetSeed === undefined ? "" : ` --one-bet --seed ${oneBetSeed}`
  return `# Written by: lottery compose --clients ${clients}${oneBet}
name: tp0
`
}

// Which user it is stays with the image alone, whose folders belong to that user.
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
`

const sharedByClients = ({ oneBetSeed }: ComposeParameters): string => `
x-client: &client
  <<: *container
  command: ["client", "--config", "/config/client.yaml"]
  volumes:
    - ./config/client.yaml:/config/client.yaml:ro
${oneBetSeed === undefined ? "    - ./.data:/lottery/.data:ro\n" : ""}\
  depends_on:
    server:
      condition: service_healthy
`

const server = ({ clients }: ComposeParameters): string => `
  server:
    <<: *container
    container_name: server
    command:
      - server
      - --config
      - /config/server.ini
      - --agencies
      - ${quoted(String(clients))}
      - --store
      - sqlite:/data/lottery.db
    volumes:
      - ./config/server.ini:/config/server.ini:ro
      - data:/data
    healthcheck:
      test: ["CMD", "lottery", "ping", "--config", "/config/server.ini", "--log-level", "error"]
      interval: 3s
      timeout: 10s
      retries: 10
      start_period: 60s
    # After a failure it goes on from what its store holds; a wrong setting fails again.
    restart: on-failure:3
    # A server may take 25 s to stop; mostly it is under one.
    stop_grace_period: 30s
`

/** What says which client it is, and what it sends where that is not its agency's book. */
const environmentOf = (agency: number, seed: number | undefined): Environment => {
  const id = ["CLI_ID", String(agency)] as const
  if (seed === undefined) return [id]
  const book = Buffer.concat([...generateBook({ seed, agency, bets: 1 })])
  const fields = book.toString("utf8").trimEnd().split(",")
  return [id, ...BET_KEYS.map((key, index) => [key, fields[index]!] as const)]
}

const client = (agency: number, { oneBetSeed }: ComposeParameters): string => {
  const environment = environmentOf(agency, oneBetSeed)
  return `
  client${agency}:
    <<: *client
    container_name: client${agency}
    environment:
${environment.map(([key, value]) => `      ${key}: ${quoted(value)}\n`).join("")}`
}

const network = ({ clients }: ComposeParameters): string => `
networks:
  testing_net:
    driver: bridge
    ipam:
      config:
        - subnet: ${clients > SMALL_NETWORK_CLIENTS ? LARGE_SUBNET : SMALL_SUBNET}
`

const VOLUMES = `
volumes:
  data:
`

/** The Compose file for these parameters; the same parameters make the same text. */
export const makeComposeFile = (parameters: ComposeParameters): string => {
  const clients = Array.from({ length: parameters.clients }, (_, index) =>
    client(index + 1, parameters)
  )
  return [
    header(parameters),
    CONTAINER,
    sharedByClients(parameters),
    "\nservices:",
    server(parameters),
    ...clients,
    network(parameters),
    VOLUMES
  ].join("")
}
