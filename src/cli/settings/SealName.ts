import { isKeyName } from "../../protocol/notes/SignedNote.ts"
import * as SettingText from "./SettingText.ts"

/** The operator's name in its keys, seals and receipts. */
export const SealName = SettingText.fromText(
  "expected a name without white space and without +, such as lottery.example",
  (text) => (isKeyName(text) ? text : undefined)
)
