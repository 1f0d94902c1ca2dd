/** A worker that reports that it has opened its file and exits at the next request. */
import { parentPort } from "node:worker_threads"

parentPort?.once("message", () => {
  parentPort?.postMessage({ answer: undefined })
  parentPort?.on("message", () => process.exit(3))
})
