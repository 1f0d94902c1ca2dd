/** The log flags of every command. */
import { GlobalFlag } from "effect/cli"
import { LOG_FORMATS } from "../log/LogFormat.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

export const LogLevelFlag = GlobalFlag.Setting("log-level")({
  flag: Setting.withDefault("log-level", "<level>", {
    description: "Lowest level to log: debug, info, warning, error or critical",
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
