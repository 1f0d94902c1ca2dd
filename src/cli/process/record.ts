/**
 * Runs the command in this file's folder, and keeps what was compiled of it until its end. build.ts
 * puts it there and starts it, and so does `lottery demo` for its processes; it is not shipped.
 */
import { existsSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Script } from "node:vm"
import { compiledFile, loadCommand } from "./CompiledCommand.ts"

/** Whose start matters most: what they need is kept in the place of what others did. */
const FIRST = new Set(["--help", "client"])

const folder = import.meta.dirname
const scripts = new Map<string, Script>()

const keep = (): void => {
  for (const [name, script] of scripts) {
    const file = compiledFile(join(folder, name))
    if (existsSync(file) && !FIRST.has(process.argv[2] ?? "")) continue
    const temporary = `${file}.${crypto.randomUUID()}.tmp`
    writeFileSync(temporary, script.createCachedData(), { flag: "wx" })
    renameSync(temporary, file)
  }
}

process.once("exit", keep)
await loadCommand(folder, scripts).run()
