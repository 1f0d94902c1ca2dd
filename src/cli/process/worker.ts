/** The start file of a worker thread; build.ts puts it next to the scripts. */
import { loadCommand } from "./CompiledCommand.ts"

await loadCommand(import.meta.dirname).runWorker()
