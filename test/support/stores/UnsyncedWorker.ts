/** The worker of a SQLite store on a disk where no checkpoint can sync, except the first one. */
import type { DatabaseSync } from "node:sqlite"

const { prototype }: typeof DatabaseSync = process.getBuiltinModule("node:sqlite").DatabaseSync
const { exec } = prototype
let checkpoints = 0
prototype.exec = function (sql) {
  if (sql.includes("wal_checkpoint") && checkpoints++ > 0) {
    // It takes a moment, in which the store may be closed.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    throw Object.assign(new Error("disk I/O error"), { errcode: 1034 })
  }
  exec.call(this, sql)
}
await import("../../../src/server/store/sqlite/SqliteWorker.ts")
