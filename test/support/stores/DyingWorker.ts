/** A worker that says it has opened its file, and dies of the next request. */
import { parentPort } from "node:worker_threads"

parentPort?.once("message", () => {
  parentPort?.postMessage({ answer: undefined })
  parentPort?.on("message", () => process.exit(3))
})
