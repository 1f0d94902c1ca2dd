/** What is loaded of the command: the command line, or the program of a worker thread. */
import { workerData } from "node:worker_threads"
import { listen } from "./Signals.ts"

/** Runs the command line. A signal that comes while it is still loading is not lost. */
export const run = async (): Promise<void> => {
  listen()
  return (await import("./commands.ts")).start()
}

/** Runs the worker thread's program that its `role` names; the command line is not loaded there. */
export const runWorker = async (): Promise<void> => {
  const role: unknown = workerData?.role
  if (role === "lottery/sqlite")
    return (await import("../../server/store/sqlite/SqliteWorker.ts")).run()
  throw new Error(`unknown worker: ${role}`)
}
