/**
 * The limit for an agency that waits for each answer: appends a file to another one in steps of
 * BYTES, with an fdatasync after each step.
 *
 * node bench/plain/writeAndSync.ts FROM TO BYTES
 */
import { fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs"

const [, , from, to, count] = process.argv
const bytes = readFileSync(from!)
const file = openSync(to!, "a")
const step = Number(count)
for (let at = 0; at < bytes.length; at += step) {
  writeSync(file, bytes, at, Math.min(step, bytes.length - at))
  fdatasyncSync(file)
}
