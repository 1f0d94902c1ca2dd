/** What is loaded of the command: the command line, or the program of a worker thread. */
import { workerData } from "node:worker_threads"

export const run = async (): Promise<void> => (await import("./commandLine.ts")).start()

/** Runs the worker thread's program that its `role` names; the command line is not loaded there. */
export const runWorker = async (): Promise<void> => {
  const role: unknown = workerData?.role
  if (role === "lottery/sqlite")
    return (await import("../../server/store/sqlite/SqliteWorker.ts")).run()
  throw new Error(`unknown worker: ${role}`)
}
