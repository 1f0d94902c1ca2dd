/** The worker of an SQLite store whose checkpoints all fail to sync, except the first. */
import type { DatabaseSync } from "node:sqlite"

const { prototype }: typeof DatabaseSync = process.getBuiltinModule("node:sqlite").DatabaseSync
const { exec } = prototype
let checkpoints = 0
prototype.exec = function (sql) {
  if (sql.includes("wal_checkpoint") && checkpoints++ > 0) {
    // Gives the store time to be closed meanwhile.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    throw Object.assign(new Error("disk I/O error"), { errcode: 1034 })
  }
  exec.call(this, sql)
}
await import("../../../src/server/store/sqlite/SqliteWorker.ts")
