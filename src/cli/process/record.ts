/**
 * Runs the command in this file's folder and writes V8's compiled code when it exits. build.ts
 * starts it, and `lottery demo` then starts it for each process. It is not shipped.
 */
import { existsSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import type { Script } from "node:vm"
import { compiledFile, loadCommand } from "./CompiledCommand.ts"
import { listen } from "./Signals.ts"

const folder = import.meta.dirname
const scripts = new Map<string, Script>()

/** The defaults of V8's flags that commands change while they run. */
const DEFAULT_FLAGS = ["--turbofan", "--heap-growing-percent=0"]

const keep = (): void => {
  // V8 accepts compiled code only with the flags under which it was recorded.
  for (const flag of DEFAULT_FLAGS) setFlagsFromString(flag)
  for (const [name, script] of scripts) {
    const file = compiledFile(join(folder, name))
    // A client's code replaces that of other commands: its startup time matters most.
    if (existsSync(file) && process.argv[2] !== "client") continue
    const temporary = `${file}.${crypto.randomUUID()}.tmp`
    writeFileSync(temporary, script.createCachedData(), { flag: "wx" })
    renameSync(temporary, file)
  }
}

// If the demo takes too long, a signal stops it and its processes.
listen()
process.once("exit", keep)
await loadCommand(folder, scripts).run()
