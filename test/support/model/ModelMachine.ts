/**
 * An in-process server on a machine that can lose power: the lottery, the sessions of all dialects,
 * and the CSV store on a disk in memory. It waits for neither time nor anything external, so it has
 * settled once nothing moves.
 */
import { randomUUID } from "node:crypto"
import { Cause, Context, Effect, Exit, Layer, Logger, Scope } from "effect"
import type * as RpcClient from "effect/rpc/RpcClient"
import * as RpcTest from "effect/rpc/RpcTest"
import { ActionLine } from "../../../src/domain/ActionLog.ts"
import { Draw, type ExpectedAgencies, fixedNumber } from "../../../src/domain/Draw.ts"
import { type SealKey, showKey } from "../../../src/protocol/notes/SignedNote.ts"
import { Identity } from "../../../src/server/admission/Identity.ts"
import { Memory, MessageMemory } from "../../../src/server/admission/MessageMemory.ts"
import { Refusals } from "../../../src/server/admission/Refusals.ts"
import { defaultLimits } from "../../../src/server/admission/ServerLimits.ts"
import { Lottery } from "../../../src/server/lottery/Lottery.ts"
import * as ControlChannel from "../../../src/server/operator/control/Control.ts"
import * as ControlActs from "../../../src/server/operator/control/ControlActs.ts"
import * as BinarySession from "../../../src/server/session/BinarySession.ts"
import * as JsonSession from "../../../src/server/session/JsonSession.ts"
import * as NativeSession from "../../../src/server/session/NativeSession.ts"
import * as Pending from "../../../src/server/session/Pending.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import { openStore } from "../../../src/server/store/csv/CsvStore.ts"
import * as CrashDisk from "../stores/CrashDisk.ts"
import * as ModelConnection from "./ModelConnection.ts"

export const DIALECTS = ["binary", "json", "native"] as const
export type Dialect = (typeof DIALECTS)[number]

/** How a server ends: a power cut, with what it leaves of the unsynced data, or a kill. */
export type Stop = CrashDisk.Kept | "killed"

type Store = BetStore["Service"]
/** The client of the control channel. */
export type Control = RpcClient.RpcClient<ControlChannel.Acts>
type LotteryService = Lottery["Service"]

/** Deliberate bugs, so that a test can prove that it would detect them. */
export interface Flaws {
  /** Nothing is synced. */
  readonly ignoreSyncs?: boolean
  readonly store?: (store: Store) => Store
  readonly lottery?: (lottery: LotteryService) => LotteryService
}

/** A peer's side of a connection. */
export interface ModelPeer extends ModelConnection.ModelConnection {
  /** Whether the server has ended the session. */
  readonly isClosed: () => boolean
  /** The memory of this connection alone. */
  readonly memory: Memory["Service"]
}

const FOLDER = "/store"
const PATH = `${FOLDER}/bets.csv`
/** How many yields without movement mean that the machine has settled. */
const QUIET_TURNS = 20

export class ModelMachine {
  private readonly draw: Draw
  private readonly sealKey: SealKey | undefined
  private readonly flaws: Flaws
  private readonly disk: CrashDisk.CrashDisk
  private readonly peers = new Set<ModelPeer>()
  private scope = Scope.makeUnsafe()
  private services: Context.Context<BetStore | Lottery | Identity | Refusals> | undefined
  /** The defects that ended a session. A peer cannot see them. */
  readonly defects: Array<Cause.Cause<unknown>> = []
  readonly log: Array<string> = []

  constructor(
    agencies: ExpectedAgencies,
    winningNumber: number,
    flaws: Flaws = {},
    terms: Partial<Pick<Draw, "source" | "closeAt">> = {},
    sealKey?: SealKey
  ) {
    const sealed = sealKey && { sealKey: showKey(sealKey.verifier) }
    const source = fixedNumber(winningNumber)
    this.draw = new Draw({ id: "default", agencies, source, ...terms, ...sealed })
    this.sealKey = sealKey
    this.flaws = flaws
    this.disk = CrashDisk.make(FOLDER, flaws.ignoreSyncs)
  }

  get store(): Store {
    return Context.get(this.services!, BetStore)
  }

  /** Starts the server with the disk's content. */
  readonly start = Effect.gen({ self: this }, function* () {
    this.scope = Scope.makeUnsafe()
    const opened = openStore(this.disk.attach(), PATH, { path: PATH, drawId: this.draw.id })
    const { flaws } = this
    const storeLayer = Layer.effect(
      BetStore,
      Effect.map(opened, (store) => (flaws.store ?? same)(store))
    )
    const lotteryLayer = Layer.effect(
      Lottery,
      Effect.map(Lottery, (lottery) => (flaws.lottery ?? same)(lottery))
    ).pipe(Layer.provide(Lottery.layer(this.draw, { sealKey: this.sealKey, drandUrls: [] })))
    const logger = Logger.make<unknown, void>(({ message }) => {
      for (const part of Array.isArray(message) ? message : [message]) {
        if (part instanceof ActionLine) this.log.push(part.toString())
      }
    })
    this.services = yield* lotteryLayer.pipe(
      Layer.provideMerge(storeLayer),
      Layer.provideMerge(Layer.succeed(Identity, { certificates: false, tokens: undefined })),
      Layer.provideMerge(Refusals.layer),
      Layer.provideMerge(Logger.layer([logger])),
      Layer.build,
      Scope.provide(this.scope)
    )
    yield* this.settle
  })

  /** Cuts the power or kills only the server, then starts it again. */
  readonly restart = (stop: Stop) =>
    Effect.suspend(() => {
      if (stop === "killed") this.disk.kill()
      else this.disk.cut(stop)
      // Its old fibers wait forever for the old disk handle.
      for (const peer of this.peers) peer.drop()
      this.peers.clear()
      return this.start
    })

  /** Stops the server in order, which interrupts every session. */
  readonly stop = Effect.suspend(() => Scope.close(this.scope, Exit.void))

  readonly stopAfter = (operations: number) => this.disk.stopAfter(operations)

  readonly hasStopped = () => this.disk.hasStopped()

  readonly connect = (dialect: Dialect) =>
    Effect.gen({ self: this }, function* () {
      const memory = Memory.make(defaultLimits.maxMemoryBytes)
      const held = new MessageMemory(memory, "127.0.0.1", memory.makeShare())
      const link = ModelConnection.make(held.room)
      let closed = false
      const session = { binary: BinarySession, json: JsonSession, native: NativeSession }[dialect]
      const accepted = Effect.sync(() => held.accept())
      const { connection } = link
      const visitor = {
        ip: "127.0.0.1",
        connection,
        certificate: undefined,
        memory: held,
        accepted
      }
      yield* Pending.run(session.run(visitor)).pipe(
        Effect.scoped,
        Effect.exit,
        Effect.map((exit) => {
          closed = true
          if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) this.defects.push(exit.cause)
        }),
        Effect.provideContext(this.services!),
        Effect.forkIn(this.scope)
      )
      const peer: ModelPeer = { ...link, isClosed: () => closed, memory }
      this.peers.add(peer)
      return peer
    })

  /** Executes an operator's act, as the control channel does. */
  readonly act = <A, E>(ask: (control: Control) => Effect.Effect<A, E>) =>
    Effect.gen({ self: this }, function* () {
      const draw = this.draw.id
      const { lookAgain } = Context.get(this.services!, Lottery)
      const place = { draw, store: this.store, log: Effect.logWarning, changed: lookAgain }
      const handlers = ControlChannel.Control.toLayer(ControlActs.make(place))
      const control = yield* Effect.provide(RpcTest.makeClient(ControlChannel.Control), handlers)
      return yield* ask(control)
    }).pipe(Effect.scoped, Effect.provideContext(this.services!))

  /** Executes an act until it ends or the machine stops; returns its outcome if there is one. */
  readonly actUntilStopped = <A, E>(ask: (control: Control) => Effect.Effect<A, E>) =>
    Effect.gen({ self: this }, function* () {
      // Detached, because it waits forever once the disk has stopped.
      const acting = yield* Effect.forkDetach(this.act(ask))
      while (!this.hasStopped() && acting.pollUnsafe() === undefined) yield* Effect.yieldNow
      yield* this.settle
      return acting.pollUnsafe()
    })

  /** Discards an agency's book, as `lottery discard` does while a server runs. */
  readonly discard = (agency: number) =>
    Effect.gen({ self: this }, function* () {
      const discarding = this.act(({ Discard }) =>
        Discard({ draw: this.draw.id, agency, act: randomUUID() })
      )
      const result = yield* Effect.exit(discarding)
      yield* this.settle
      return result
    })

  /** Lets the lottery see what an operator changed. */
  readonly lookAgain = Effect.suspend(() =>
    Effect.andThen(Context.get(this.services!, Lottery).lookAgain, this.settle)
  )

  /** Waits until nothing moves. */
  readonly settle = Effect.gen({ self: this }, function* () {
    let quiet = 0
    let before = this.movement()
    while (quiet < QUIET_TURNS) {
      yield* Effect.yieldNow
      const now = this.movement()
      quiet = now === before ? quiet + 1 : 0
      before = now
    }
  })

  private movement(): number {
    let sum = this.disk.operations()
    for (const peer of this.peers) sum += peer.activity()
    return sum
  }
}

const same = <A>(value: A): A => value
