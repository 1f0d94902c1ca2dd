/** The worker of an SQLite store whose first commit of bets fails to sync, after a while. */
import type { DatabaseSync } from "node:sqlite"

const { prototype }: typeof DatabaseSync = process.getBuiltinModule("node:sqlite").DatabaseSync
const { exec } = prototype
let commits = 0
prototype.exec = function (sql) {
  // The first one creates the tables.
  if (sql === "commit" && commits++ === 1) {
    // Gives the next commit time to arrive.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
    throw Object.assign(new Error("disk I/O error"), { errcode: 1034 })
  }
  exec.call(this, sql)
}
await import("../../../src/server/store/sqlite/SqliteWorker.ts")
