/**
 * Runs the command in this file's folder, and at its end writes what V8 has compiled of it.
 * build.ts starts it, and so does `lottery demo` for its processes; it is not shipped.
 */
import { existsSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Script } from "node:vm"
import { compiledFile, loadCommand } from "./CompiledCommand.ts"
import { listen } from "./Signals.ts"

const folder = import.meta.dirname
const scripts = new Map<string, Script>()

const keep = (): void => {
  for (const [name, script] of scripts) {
    const file = compiledFile(join(folder, name))
    // What a client needs is kept in place of what others did: its start matters most.
    if (existsSync(file) && process.argv[2] !== "client") continue
    const temporary = `${file}.${crypto.randomUUID()}.tmp`
    writeFileSync(temporary, script.createCachedData(), { flag: "wx" })
    renameSync(temporary, file)
  }
}

// A demo that takes too long is stopped with all that it started.
listen()
process.once("exit", keep)
await loadCommand(folder, scripts).run()
