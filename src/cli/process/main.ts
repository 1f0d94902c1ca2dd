/**
 * Where the process starts. Everything else is in a folder beside this file, which only a Node that
 * is new enough can load: an older one says here what is missing.
 */
import { join } from "node:path"
import { loadCommand } from "./CompiledCommand.ts"
import { listen } from "./Signals.ts"

/** The folder's name; build.ts puts it here. */
declare const COMMAND_FOLDER: string

const NEEDED_NODE = 26

if (Number.parseInt(process.versions.node, 10) < NEEDED_NODE) {
  process.stderr.write(
    `lottery needs Node ${NEEDED_NODE} or later, this is ${process.version}; ` +
      "install one from https://nodejs.org\n"
  )
  process.exitCode = 1
} else {
  listen()
  // Not awaited: in the CommonJS module that it becomes there is no await at the top.
  void loadCommand(join(import.meta.dirname, COMMAND_FOLDER)).run()
}
