/** `lottery compose`: writes a Compose file that runs a server and its clients in containers. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { logAction } from "../domain/ActionLog.ts"
import { MAX_CLIENTS, makeComposeFile } from "./ComposeFile.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"
import * as sharedSettings from "./sharedSettings.ts"
import { writeWhole } from "./WholeFile.ts"

const STANDARD_OUTPUT = "-"

const print = Effect.fnUntraced(function* (text: Stream.Stream<Uint8Array>) {
  const { stdout } = yield* Stdio.Stdio
  yield* Stream.run(text, stdout({ endOnDone: false }))
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
    description: "File to write, in the folder of .data and config; - is standard output",
    schema: SettingText.Text,
    metavar: "file",
    default: "docker-compose-dev.yaml"
  })
}

export const compose = Command.make(
  "compose",
  settings,
  Effect.fnUntraced(function* ({ clients, oneBet, out, seed }) {
    const file = makeComposeFile({ clients, oneBetSeed: oneBet ? seed : undefined })
    const text = Stream.encodeText(Stream.succeed(file))
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
