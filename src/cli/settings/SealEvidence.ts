/** The settings of `lottery client` for a sealed draw. */
import { Effect, Option } from "effect"
import type { Command } from "effect/cli"
import type { Vigilance } from "../../client/evidence/DrawWatch.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { DrawId } from "../../domain/Draw.ts"
import { makeFolder } from "../files/Folder.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"
import { OperatorKeyFromText } from "./VerifierKeyText.ts"

export const settings = {
  key: Setting.optional("seal-vkey", "<key>", {
    description:
      "Operator's verifier key of a sealed draw: check receipt, seal and winners with it",
    schema: OperatorKeyFromText
  }),
  evidence: Setting.optional("evidence", "<folder>", {
    description: "With --seal-vkey, keep the receipt, the proofs and the result in this folder",
    schema: SettingText.Text
  })
}

type Given = Command.Command.Config.Infer<typeof settings>

/** Loaded on demand: most draws are not sealed. */
const loadEvidenceFiles = Effect.promise(() => import("../../client/evidence/EvidenceFiles.ts"))

/** Reads the evidence of earlier runs; returns undefined without a key. */
export const make = Effect.fn("SealEvidence.make")(function* (
  { evidence, key }: Given,
  of: { readonly agency: Agency; readonly draw: DrawId }
) {
  if (Option.isNone(key)) return undefined
  const operator = key.value
  if (Option.isNone(evidence)) return { operator, evidence: undefined } satisfies Vigilance
  yield* makeFolder(evidence.value)
  const files = yield* (yield* loadEvidenceFiles).open(evidence.value, { ...of, operator })
  return { operator, evidence: files } satisfies Vigilance
})
