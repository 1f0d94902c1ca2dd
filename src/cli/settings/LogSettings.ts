/** The log flags of every command. */
import { GlobalFlag } from "effect/cli"
import { LOG_FORMATS, LOG_LEVELS } from "../log/LogFormat.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

export const LogLevelFlag = GlobalFlag.Setting("log-level")({
  flag: Setting.choice("log-level", "<level>", LOG_LEVELS, {
    description: "Lowest level to log",
    schema: SettingText.LogLevelFromText,
    keys: ["LOGGING_LEVEL", "CLI_LOG_LEVEL"],
    fileKeys: ["log.level"],
    default: "INFO"
  })
})

export const LogFormatFlag = GlobalFlag.Setting("log-format")({
  flag: Setting.choice("log-format", "<format>", LOG_FORMATS, {
    description: "Format of log lines",
    default: "text"
  })
})
