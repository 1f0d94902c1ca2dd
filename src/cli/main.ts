/**
 * Where the process starts, and each of its worker threads. Everything else is imported only once
 * the version of Node is known to do, so that an older one can still say what is missing.
 */
import { isMainThread, workerData } from "node:worker_threads"
import { listen } from "./Signals.ts"

const NEEDED_NODE = 26

/** Runs the worker thread that `role` names; the command line is not loaded there. */
const runWorker = async (role: unknown): Promise<void> => {
  if (role === "lottery/sqlite") return (await import("../server/store/SqliteWorker.ts")).run()
  throw new Error(`unknown worker: ${role}`)
}

if (Number.parseInt(process.versions.node, 10) < NEEDED_NODE) {
  process.stderr.write(
    `lottery needs Node ${NEEDED_NODE} or later, this is ${process.version}; ` +
      "install one from https://nodejs.org\n"
  )
  process.exitCode = 1
} else if (isMainThread) {
  listen()
  ;(await import("./start.ts")).start()
} else {
  await runWorker(workerData?.role)
}
