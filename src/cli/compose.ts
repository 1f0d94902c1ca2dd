/** `lottery compose`: writes a Compose file that runs a server and its clients in containers. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { FileUnavailable, fileUnavailable } from "../client/FileUnavailable.ts"
import { logAction } from "../domain/ActionLog.ts"
import { MAX_CLIENTS, makeComposeFile } from "./ComposeFile.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"
import * as sharedSettings from "./sharedSettings.ts"

const STANDARD_OUTPUT = "-"

/** The file that a name stands for, links followed. What is there and no file is not replaced. */
const fileBehind = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(name))) return name
  if ((yield* fs.stat(name)).type === "File") return yield* fs.realPath(name)
  return yield* new FileUnavailable({ file: name, reason: "is there already, and not a file" })
})

/** Writes a file under a temporary name, and gives it its own once it is whole. */
const writeWhole = Effect.fn("compose.writeWhole")(
  function* (name: string, text: string) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = yield* fileBehind(name)
    const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`)
    yield* fs.writeFileString(temporary, text).pipe(
      Effect.andThen(fs.rename(temporary, file)),
      Effect.onError(() => Effect.ignore(fs.remove(temporary)))
    )
  },
  (effect, name) =>
    Effect.catchTag(effect, "PlatformError", (error) => Effect.fail(fileUnavailable(name)(error)))
)

const print = Effect.fnUntraced(function* (text: string) {
  const { stdout } = yield* Stdio.Stdio
  yield* Stream.run(Stream.succeed(text), stdout({ endOnDone: false }))
})

export const settings = {
  clients: Setting.withDefault("clients", {
    description: "Clients, one for each agency from 1 on",
    schema: SettingText.intBetween(1, MAX_CLIENTS),
    metavar: "number",
    default: 5
  }),
  oneBet: Setting.flag("one-bet", "Give each client one made-up bet in place of a book"),
  seed: sharedSettings.seed,
  out: Setting.withDefault("out", {
    description: "File to write; - is standard output",
    schema: SettingText.Text,
    metavar: "file",
    default: "docker-compose-dev.yaml"
  })
}

export const compose = Command.make(
  "compose",
  settings,
  Effect.fnUntraced(function* ({ clients, oneBet, out, seed }) {
    const text = makeComposeFile({ clients, oneBetSeed: oneBet ? seed : undefined })
    yield* out === STANDARD_OUTPUT ? print(text) : writeWhole(out, text)
    yield* logAction("compose", "success", { clients, file: out })
  })
).pipe(
  Command.withDescription("Write a Compose file for a server and its clients, a container each"),
  Command.withExamples([
    {
      command: "lottery compose --clients 5",
      description: "Write docker-compose-dev.yaml for a server and five clients with their books"
    }
  ])
)
