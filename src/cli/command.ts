/** Where the command begins: the command line, or the worker thread that `role` names. */
import { isMainThread, workerData } from "node:worker_threads"

/** Runs the worker thread that `role` names; the command line is not loaded there. */
const runWorker = async (role: unknown): Promise<void> => {
  if (role === "lottery/sqlite") return (await import("../server/store/SqliteWorker.ts")).run()
  throw new Error(`unknown worker: ${role}`)
}

export const run = async (): Promise<void> =>
  isMainThread ? (await import("./start.ts")).start() : runWorker(workerData?.role)
