/** The two programs: the command line, and that of a worker thread. */
import { workerData } from "node:worker_threads"

export const run = async (): Promise<void> => (await import("./commandLine.ts")).start()

/** Runs the program for the worker's `role`, without loading the command line. */
export const runWorker = async (): Promise<void> => {
  const role: unknown = workerData?.role
  if (role === "lottery/sqlite")
    return (await import("../../server/store/sqlite/SqliteWorker.ts")).run()
  throw new Error(`unknown worker: ${role}`)
}
