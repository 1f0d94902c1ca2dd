/** A worker that says it has opened its file, and hears nothing after that. */
import { parentPort } from "node:worker_threads"

parentPort?.once("message", () => parentPort?.postMessage({ answer: undefined }))
parentPort?.on("message", () => {})
