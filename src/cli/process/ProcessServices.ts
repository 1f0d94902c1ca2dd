/**
 * The Node services of a command. Its terminal reads nothing: Node's own opens standard input at
 * once, which puts a pipe or socket there into non-blocking mode for all processes that share it.
 */
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import { type Cause, Effect, Layer, Queue, Terminal } from "effect"

const endedQueue = <A>() => Effect.tap(Queue.make<A, Cause.Done>(), (queue) => Queue.end(queue))

/** No command is interactive: every prompt acts as if the user had quit. */
const layerTerminal = Layer.succeed(
  Terminal.Terminal,
  Terminal.make({
    columns: Effect.succeed(0),
    rows: Effect.succeed(0),
    size: endedQueue(),
    readInput: endedQueue(),
    readLine: Effect.fail(new Terminal.QuitError()),
    display: () => Effect.void
  })
)

export const layer = Layer.provideMerge(
  NodeChildProcessSpawner.layer,
  Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeStdio.layer, layerTerminal)
)
