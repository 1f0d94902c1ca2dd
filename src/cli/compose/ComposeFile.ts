/**
 * The text of a Compose file that runs servers and their clients, each in a container of its own:
 * shared parts, a list of services, the volume they name. Pure. As the Compose specification
 * says; docker-compose 1.29 knows all of it but `name`.
 */

import { generateBook } from "../files/GeneratedBook.ts"
import {
  dependsOn,
  indent,
  type ServersParameters,
  serverNames,
  serverServices,
  sharedByServers,
  storeNetwork,
  volumes
} from "./ComposeServers.ts"

/** A Linux bridge has 1,023 ports: for these, and for two who look at them from beside. */
export const MAX_CLIENTS = 1000
export const MAX_SERVERS = 20

export interface ComposeParameters extends ServersParameters {
  /** Chooses the made-up bet that each client sends in place of its agency's book. */
  readonly oneBetSeed?: number | undefined
}

/** The containers for which the smaller network has addresses, beside its gateway. */
const SMALL_NETWORK_CONTAINERS = 251
const SMALL_SUBNET = "172.25.125.0/24"
const LARGE_SUBNET = "172.25.120.0/21"

/** The fields of a bet in the environment of a client, in the order of a book's line. */
const BET_KEYS = ["NOMBRE", "APELLIDO", "DOCUMENTO", "NACIMIENTO", "NUMERO"]

type Environment = ReadonlyArray<readonly [key: string, value: string]>

/** A double-quoted string, the same in JSON and YAML; Compose takes a single $ for a variable. */
export const quoted = (text: string): string => JSON.stringify(text).replaceAll("$", "$$$$")

const header = ({ clients, oneBetSeed, postgresServers }: ComposeParameters): string => {
  const oneBet = oneBetSeed === undefined ? "" : ` --one-bet --seed ${oneBetSeed}`
  const store = postgresServers === undefined ? "" : " --store postgres"
  const servers = (postgresServers ?? 1) === 1 ? "" : ` --servers ${postgresServers}`
  return `# Written by: lottery compose --clients ${clients}${oneBet}${store}${servers}
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
  # A command has some 12 threads, and a health check is another command.
  pids_limit: 64
  mem_limit: 512m
  ulimits:
    nofile: 1024
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

const networks = (parameters: ComposeParameters): string => {
  const containers = serverNames(parameters).length + parameters.clients
  return `
networks:
  testing_net:
    driver: bridge
    ipam:
      config:
        - subnet: ${containers > SMALL_NETWORK_CONTAINERS ? LARGE_SUBNET : SMALL_SUBNET}
${storeNetwork(parameters)}`
}

/** The Compose file for these parameters; the same parameters make the same text. */
export const makeComposeFile = (parameters: ComposeParameters): string => {
  const clients = Array.from({ length: parameters.clients }, (_, index) =>
    client(index + 1, parameters)
  )
  const services = [...serverServices(parameters), ...clients]
  return [
    header(parameters),
    CONTAINER,
    sharedByServers(parameters),
    sharedByClients(parameters),
    "\nservices:",
    ...services,
    networks(parameters),
    volumes(parameters)
  ].join("")
}
