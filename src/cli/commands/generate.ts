/** `lottery generate`: writes books of random bets. */
import { Effect, Path } from "effect"
import { Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { makeFolder } from "../files/Folder.ts"
import { writeBook } from "../files/GeneratedBook.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const MAX_BETS = 4_294_967_295

export const settings = {
  agencies: sharedSettings.agencies,
  bets: Setting.withDefault("bets", "<number>", {
    description: "Bets per book",
    schema: SettingText.intBetween(0, MAX_BETS),
    default: 27_000
  }),
  seed: sharedSettings.seed,
  out: Setting.withDefault("out", "<folder>", {
    description: "Folder to write to, created if missing",
    schema: SettingText.Text,
    default: ".data"
  })
}

export const generate = Command.make(
  "generate",
  settings,
  Effect.fnUntraced(function* ({ agencies, bets, out, seed }) {
    const path = yield* Path.Path
    yield* makeFolder(out)
    for (const agency of agencies) {
      yield* writeBook(path.join(out, sharedSettings.bookName(agency)), { agency, bets, seed })
      yield* logAction("generate", "success", { agencia: agency, cantidad: bets })
    }
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery generate --agencies 5 --bets 27000 --seed 1 --out .data",
      description: "Write .data/agency-1.csv to .data/agency-5.csv"
    }
  ])
)
