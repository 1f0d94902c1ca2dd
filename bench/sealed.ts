/**
 * Measures what a seal costs: uploads into a sealed draw in turns with the same without a key, and
 * the sealing of ten million bets in turns with a read of their digests.
 *
 * node_modules/.bin/node bench/sealed.ts [rounds] [bets of each of five books] [part of a name]
 */
import { generateKeyPairSync } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Console, Effect, Option, Result, Schema, type Scope } from "effect"
import { sealKeyFromPem, showKey } from "../src/protocol/notes/SignedNote.ts"
import { BetStoreReader } from "../src/server/store/BetStore.ts"
import * as StoreUrl from "../src/server/store/StoreUrl.ts"
import build from "../test/support/processes/buildCommand.ts"
import type { PostgresCluster } from "../test/support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { startPostgres } from "./measure/Cluster.ts"
import * as Lottery from "./measure/Lottery.ts"
import * as Machine from "./measure/Machine.ts"
import * as Program from "./measure/Program.ts"
import { inTurns, medianOf } from "./measure/Turns.ts"
import * as PerformanceTable from "./report/PerformanceTable.ts"

const ROUNDS = Number(process.argv[2] ?? 7)
const BETS = Number(process.argv[3] ?? 200_000)
const ONLY = process.argv[4] ?? ""
const AGENCIES = 5
const SEALED_BETS = 2_000_000
const DRAW = "sealed"

type Case = readonly [Lottery.StoreKind, Lottery.Dialect, atLeast: number]
const CASES: ReadonlyArray<Case> = [
  ["csv", "native", 0.97],
  ["sqlite", "native", 0.97],
  ["postgres", "native", 0.97],
  ["csv", "json", 0.95],
  ["csv", "binary", 0.95],
  ["sqlite", "json", 0.95],
  ["sqlite", "binary", 0.95]
]

interface Key {
  readonly server: ReadonlyArray<string>
  readonly client: ReadonlyArray<string>
}

const makeKey = (folder: string): Key => {
  const { privateKey } = generateKeyPairSync("ed25519")
  const pem = String(privateKey.export({ type: "pkcs8", format: "pem" }))
  const file = join(folder, "seal-key.pem")
  writeFileSync(file, pem)
  const key = Result.getOrThrow(sealKeyFromPem("lottery.example", pem))
  return {
    server: ["--seal-key", file, "--seal-name", key.verifier.name],
    client: ["--seal-vkey", showKey(key.verifier)]
  }
}

interface Uploaded {
  readonly folder: string
  readonly generated: string
  readonly cluster: PostgresCluster | undefined
}

const measured = Effect.fnUntraced(function* (
  { cluster, folder, generated }: Uploaded,
  [kind, dialect]: Case,
  key: Key | undefined
) {
  const store = yield* Lottery.freshStore(kind, cluster)
  const ofServer = ["--draw", DRAW, ...(key?.server ?? [])]
  const server = yield* Lottery.startServer(folder, store, AGENCIES, ofServer)
  const isNative = dialect === "native"
  const figures = yield* Lottery.upload(folder, server, {
    ...{ agencies: AGENCIES, bets: BETS, dialect, books: generated },
    more: isNative ? ["--draw", DRAW, ...(key?.client ?? [])] : []
  })
  yield* server.stop
  return figures
}, Effect.scoped)

const uploadLine = Effect.fnUntraced(function* (uploaded: Uploaded, of: Case, key: Key) {
  const [kind, dialect, atLeast] = of
  const rounds = yield* inTurns(ROUNDS, {
    sealed: measured(uploaded, of, key),
    plain: measured(uploaded, of, undefined)
  })
  const rate = (name: "sealed" | "plain") => medianOf(rounds, (round) => round[name].rate)
  const ratio = medianOf(rounds, ({ plain, sealed }) => sealed.rate / plain.rate)
  const cpu = medianOf(rounds, ({ plain, sealed }) => sealed.cpu / plain.cpu)
  return {
    what: `${Lottery.DIALECT_NAMES[dialect]} into ${Lottery.STORE_NAMES[kind]}, sealed`,
    measured: `${PerformanceTable.rate(rate("sealed"))}, CPU ${PerformanceTable.shown(cpu)} times`,
    comparedWith: `without a key: ${PerformanceTable.rate(rate("plain"))}`,
    ratio,
    target: PerformanceTable.atLeast(ratio, atLeast)
  } satisfies PerformanceTable.Line
})

const TIMES = {
  finished: /"time":"([^"]*)".*"action":"agency_finished"/g,
  sealed: /"time":"([^"]*)".*"action":"draw_sealed"/
}

/** Seals a large draw; returns the time that it takes, and that of reading its digests. */
const sealing = Effect.fnUntraced(function* (
  folder: string,
  kind: Lottery.StoreKind,
  key: Key,
  generated: string
): Effect.fn.Return<
  { readonly sealSeconds: number; readonly readSeconds: number },
  Program.ProgramFailed,
  Scope.Scope
> {
  const text = yield* Effect.orDie(Lottery.freshStore(kind, undefined))
  const more = ["--draw", DRAW, ...key.server]
  const server = yield* Lottery.startServer(folder, text, AGENCIES, more)
  yield* Lottery.upload(folder, server, {
    ...{ agencies: AGENCIES, bets: SEALED_BETS, dialect: "native", books: generated },
    more: ["--draw", DRAW, ...key.client]
  })
  const log = server.log()
  yield* server.stop
  const finished = [...log.matchAll(TIMES.finished)].at(-1)?.[1]
  const sealed = TIMES.sealed.exec(log)?.[1]
  if (finished === undefined || sealed === undefined) {
    return yield* new Program.ProgramFailed({ message: "the draw was not sealed" })
  }
  const url = Option.getOrThrow(
    yield* Effect.option(Schema.decodeEffect(StoreUrl.StoreUrlFromText)(text))
  )
  const read = Effect.gen(function* () {
    const { digests } = yield* BetStoreReader
    const begin = performance.now()
    yield* digests
    return (performance.now() - begin) / 1000
  }).pipe(Effect.provide(StoreUrl.layerReader(url, DRAW)))
  const readSeconds = yield* Effect.orDie(read)
  return { sealSeconds: (Date.parse(sealed) - Date.parse(finished)) / 1000, readSeconds }
})

const sealLine = Effect.fnUntraced(function* (
  folder: string,
  kind: Lottery.StoreKind,
  key: Key,
  generated: string
) {
  const rounds = yield* inTurns(Math.min(ROUNDS, 3), {
    sealed: Effect.scoped(sealing(folder, kind, key, generated))
  })
  const ratio = medianOf(rounds, ({ sealed }) => sealed.sealSeconds / sealed.readSeconds)
  const total = (AGENCIES * SEALED_BETS).toLocaleString("en")
  const of = (figure: "sealSeconds" | "readSeconds") =>
    `${PerformanceTable.shown(medianOf(rounds, ({ sealed }) => sealed[figure]))} s`
  return {
    what: `sealing ${total} bets in ${Lottery.STORE_NAMES[kind]}`,
    measured: of("sealSeconds"),
    comparedWith: `reading their digests: ${of("readSeconds")}`,
    ratio,
    target: PerformanceTable.atMost(ratio, 2)
  } satisfies PerformanceTable.Line
})

const main = Effect.gen(function* () {
  yield* Effect.promise(build)
  const folder = yield* temporaryFolder
  const cluster = yield* startPostgres
  const key = makeKey(folder)
  const generated = yield* Lottery.books(folder, AGENCIES, BETS)
  const lines: Array<PerformanceTable.Line> = []
  for (const of of CASES) {
    const [kind, dialect] = of
    if (!`${dialect} ${kind}`.includes(ONLY) || (kind === "postgres" && !cluster)) continue
    lines.push(yield* uploadLine({ folder, generated, cluster }, of, key))
  }
  if ("sealing".includes(ONLY)) {
    const large = yield* Lottery.books(folder, AGENCIES, SEALED_BETS)
    for (const kind of ["csv", "sqlite"] as const) {
      lines.push(yield* sealLine(folder, kind, key, large))
    }
  }
  const about = yield* Machine.describe
  const table = PerformanceTable.toText([{ title: "A sealed draw", lines }])
  yield* Console.log([...about, table].join("\n"))
}).pipe(Effect.scoped)

await Effect.runPromise(main)
