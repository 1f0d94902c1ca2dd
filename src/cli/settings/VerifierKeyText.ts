/** The text forms of the keys that verify signed notes. */
import { Result } from "effect"
import { parseKey, type VerifierKey } from "../../protocol/notes/SignedNote.ts"
import * as SettingText from "./SettingText.ts"

const ofKind = (kind: VerifierKey["kind"], expected: string) =>
  SettingText.fromText(expected, (text) => {
    const key = Result.getOrUndefined(parseKey(text))
    return key?.kind === kind ? key : undefined
  })

export const OperatorKeyFromText = ofKind(
  "ed25519",
  "expected an operator's verifier key, such as lottery.example+9b6c648b+AQOh…"
)

export const WitnessKeyFromText = ofKind(
  "cosignature",
  "expected a witness's verifier key, such as auditor.example/w1+15cfbe2c+BCms…"
)
