/**
 * Writes the resource usage of the process to the file BENCH_USAGE when it exits.
 *
 * BENCH_USAGE=FILE node --import ./bench/plain/usage.ts PROGRAM
 */
import { writeFileSync } from "node:fs"

process.once("exit", () => {
  writeFileSync(process.env.BENCH_USAGE!, JSON.stringify(process.resourceUsage()))
})
