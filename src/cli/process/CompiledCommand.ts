/**
 * Loads the command from the folder that build.ts wrote. Scripts are loaded only as they are
 * needed, each with the code that V8 compiled of it at build time, which saves parsing and
 * compiling at each start. The compiled code is read from the same folder as the scripts, so that
 * it needs no more protection than they do.
 *
 * Compiled code fits one version of V8, its flags and the features of a processor. Anywhere else V8
 * ignores it, and the command starts a little later.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Script } from "node:vm"
import type * as Command from "./entry.ts"
import * as Signals from "./Signals.ts"

/** The file in the folder that a worker thread is started with. */
export const WORKER = "worker.mjs"

/** The module that the scripts share with the file that loads them. */
export const SIGNALS = "Signals.ts"

/** The file with the compiled code of a script. */
export const compiledFile = (script: string): string => `${script}.compiled`

const compile = (filename: string): Script => {
  const code = readFileSync(filename, "latin1")
  try {
    return new Script(code, { filename, cachedData: readFileSync(compiledFile(filename)) })
  } catch {
    return new Script(code, { filename })
  }
}

/** Node's modules that take long to load and that many commands do without. */
const SLOW = new Set([
  "node:child_process",
  "node:crypto",
  "node:net",
  "node:readline",
  "node:tls",
  "node:worker_threads"
])

/** A module of Node that is loaded when something of it is first used. */
const deferred = (id: string): object => {
  let module: object | undefined
  const get = (_: object, name: string | symbol): unknown => {
    module ??= process.getBuiltinModule(id)
    return Reflect.get(module!, name)
  }
  // The scripts may copy a module's own properties; this one seems to have none.
  return Object.create(new Proxy({}, { get }))
}

/** Loads the command in a folder; puts each script that it loads into `scripts`, by file name. */
export const loadCommand = (
  folder: string,
  scripts = new Map<string, Script>()
): typeof Command => {
  const loaded = new Map<string, object>()
  const worker = join(folder, WORKER)

  const provide = (id: string): unknown => {
    // The start file's own, which has listened since before anything was loaded.
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
      // Each takes the worker's file for its own, for a store starts its worker with that.
      script.runInThisContext()(exports, provide, worker)
    }
    return exports
  }

  return load("entry.cjs") as typeof Command
}
