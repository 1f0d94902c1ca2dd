/**
 * The start file. It checks the version of Node, because an old one cannot load the rest of the
 * command from its folder.
 */
import { join } from "node:path"
import { loadCommand } from "./CompiledCommand.ts"
import { listen } from "./Signals.ts"

/** The name of the folder, defined by build.ts. */
declare const COMMAND_FOLDER: string

const NEEDED_NODE = 26

if (Number.parseInt(process.versions.node, 10) < NEEDED_NODE) {
  process.stderr.write(
    `lottery needs Node ${NEEDED_NODE} or later, but this is ${process.version}; ` +
      "install it from https://nodejs.org\n"
  )
  process.exitCode = 1
} else {
  listen()
  // Not awaited: this becomes a CommonJS module, which has no top-level await.
  void loadCommand(join(import.meta.dirname, COMMAND_FOLDER)).run()
}
