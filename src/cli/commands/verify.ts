/** `lottery verify`: checks a sealed draw from files, with no store, server or network. */
import { Data, Effect, Runtime } from "effect"
import { Command } from "effect/cli"
import { fromDigits } from "../../domain/Agency.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import { OperatorKeyFromText, WitnessKeyFromText } from "../settings/VerifierKeyText.ts"
import * as Given from "../verify/Given.ts"
import * as Report from "../verify/Report.ts"
import { verify as verifyGiven } from "../verify/Verify.ts"

const AGENCY_FILE = /^(\d+)=(.+)$/s

const AgencyFileFromText = SettingText.fromText(
  "expected an agency and its file, such as 3=agency-3.csv",
  (text): Given.AgencyFile | undefined => {
    const [, digits = "", file = ""] = AGENCY_FILE.exec(text) ?? []
    const agency = fromDigits(digits)
    return agency === undefined ? undefined : { agency, file }
  }
)

const files = (name: string, description: string) =>
  Setting.repeated(name, "<file>", { description, schema: SettingText.Text })

const agencyFiles = (name: string, description: string) =>
  Setting.repeated(name, "<agency=file>", { description, schema: AgencyFileFromText })

export const settings = {
  operator: Setting.required("seal-vkey", "<key>", {
    description: "Operator's verifier key",
    schema: OperatorKeyFromText
  }),
  json: Setting.flag("json", "Print one JSON object instead of lines")
}

/** What is verified. These are flags only, and all but the seal may be repeated. */
export const evidence = {
  seal: Setting.required("seal", "<file>", {
    description: "Seal of the draw",
    schema: SettingText.Text,
    flagOnly: true
  }),
  witnesses: Setting.repeated("witness", "<key>", {
    description: "Verifier key of a witness, whose signature says when it saw the seal",
    schema: WitnessKeyFromText
  }),
  beacons: files("beacon", "Round of drand, as drand publishes it in JSON"),
  results: files("result", "Signed result of the draw"),
  receipts: files("receipt", "Receipt that an agency got for its finished book"),
  proofs: files("proof", "Proof that an agency got from the seal"),
  otherSeals: files("other-seal", "Seal of the same draw from elsewhere, to compare"),
  books: agencyFiles("book", "Exported book of an agency, such as 3=export-3.csv"),
  own: agencyFiles("own", "An agency's own copy of its book, as it sent it"),
  evidence: Setting.repeated("evidence", "<folder>", {
    description: "Folder that lottery client --evidence wrote",
    schema: SettingText.Text
  })
}

class NotVerified extends Data.TaggedError("NotVerified")<{ readonly seal: string }> {
  // Standard output has the reasons.
  override readonly [Runtime.errorReported] = false

  override get message(): string {
    return `${this.seal}: not everything that was given fits`
  }
}

export const verify = Command.make(
  "verify",
  { ...settings, ...evidence },
  Effect.fnUntraced(function* ({ json, ...named }) {
    const report = yield* verifyGiven(yield* Given.read(named))
    yield* Report.print(report, json)
    if (!report.fits) return yield* new NotVerified({ seal: named.seal })
  })
).pipe(
  Command.withExamples([
    {
      command:
        "lottery verify --seal-vkey lottery.example+9b6c648b+AQOh… --seal default.seal " +
        "--beacon round.json --book 3=export-3.csv --book 4=export-4.csv --evidence evidence",
      description: "Check the seal, the number, two books and what a client kept"
    }
  ])
)
