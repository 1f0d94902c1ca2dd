/** A worker that reports that it has opened its file and ignores all further requests. */
import { parentPort } from "node:worker_threads"

parentPort?.once("message", () => parentPort?.postMessage({ answer: undefined }))
parentPort?.on("message", () => {})
