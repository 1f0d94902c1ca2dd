/** A worker that says it has opened its file, and dies of the first request. */
import { parentPort } from "node:worker_threads"

parentPort?.postMessage({ answer: undefined })
parentPort?.on("message", () => process.exit(3))
