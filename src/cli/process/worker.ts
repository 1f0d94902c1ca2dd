/** Where a worker thread of the command starts; build.ts puts it beside the scripts. */
import { loadCommand } from "./CompiledCommand.ts"

await loadCommand(import.meta.dirname).runWorker()
