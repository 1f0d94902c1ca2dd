/** A worker that says it has opened its file, and hears nothing. */
import { parentPort } from "node:worker_threads"

parentPort?.postMessage({ answer: undefined })
parentPort?.on("message", () => {})
