/** The flags of the log, which every command has. */
import { Effect } from "effect"
import { GlobalFlag } from "effect/cli"
import { LOG_FORMATS, type LogChoice, MINIMUM_LEVELS } from "../log/LogFormat.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

export const LogLevelFlag = GlobalFlag.Setting("log-level")({
  flag: Setting.withDefault("log-level", "<level>", {
    description: "Least severe level that is logged: debug, info, warning, error or critical",
    schema: SettingText.LogLevelFromText,
    keys: ["LOGGING_LEVEL", "CLI_LOG_LEVEL"],
    fileKeys: ["log.level"],
    default: "INFO"
  })
})

export const LogFormatFlag = GlobalFlag.Setting("log-format")({
  flag: Setting.withDefault("log-format", "<format>", {
    description: "Format of log lines: text or json",
    schema: SettingText.oneOf(LOG_FORMATS),
    default: "text"
  })
})

/** Puts what the flags say into `choice`; gives Effect's minimum level. */
export const applyLogSettings = Effect.fnUntraced(function* (choice: LogChoice) {
  choice.level = yield* LogLevelFlag
  choice.format = yield* LogFormatFlag
  return MINIMUM_LEVELS[choice.level]
})
