/**
 * Loads the command from the folder that build.ts wrote. Each script is loaded on demand, together
 * with code that V8 compiled at build time, which saves parsing and compiling at startup. The
 * compiled code is next to the scripts, so it needs no protection beyond theirs.
 *
 * Compiled code fits one version of V8, its flags and the processor's features. Otherwise V8
 * ignores it and the command starts a little more slowly.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Script } from "node:vm"
import type * as Command from "./entry.ts"
import * as Signals from "./Signals.ts"

/** The file that starts a worker thread. */
export const WORKER = "worker.mjs"

/** The module that the scripts share with the start file. */
export const SIGNALS = "Signals.ts"

export const compiledFile = (script: string): string => `${script}.compiled`

const compile = (filename: string): Script => {
  const code = readFileSync(filename, "latin1")
  try {
    return new Script(code, { filename, cachedData: readFileSync(compiledFile(filename)) })
  } catch {
    return new Script(code, { filename })
  }
}

/** Node's modules that load slowly and that many commands do not need. */
const SLOW = new Set([
  "node:child_process",
  "node:crypto",
  "node:net",
  "node:readline",
  "node:tls",
  "node:v8",
  "node:worker_threads"
])

/** Loads a Node module when one of its properties is first read. */
const deferred = (id: string): object => {
  let module: object | undefined
  const get = (_: object, name: string | symbol): unknown => {
    module ??= process.getBuiltinModule(id)
    return Reflect.get(module!, name)
  }
  // The scripts may copy a module's own properties, which would load it; this object has none.
  return Object.create(new Proxy({}, { get }))
}

/** Loads the command in a folder; adds each loaded script to `scripts`, by file name. */
export const loadCommand = (
  folder: string,
  scripts = new Map<string, Script>()
): typeof Command => {
  const loaded = new Map<string, object>()
  const worker = join(folder, WORKER)

  const provide = (id: string): unknown => {
    // The start file's instance, which has been listening from the start.
    if (id.endsWith(SIGNALS)) return Signals
    if (id.startsWith("./")) return load(id.slice(2))
    return SLOW.has(id) ? deferred(id) : process.getBuiltinModule(id)
  }

  const load = (name: string): object => {
    let exports = loaded.get(name)
    if (exports === undefined) {
      exports = {}
      loaded.set(name, exports)
      const script = compile(join(folder, name))
      scripts.set(name, script)
      // A store starts its worker thread from the file of its own script.
      script.runInThisContext()(exports, provide, worker)
    }
    return exports
  }

  return load("entry.cjs") as typeof Command
}
