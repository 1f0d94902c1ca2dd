/** The settings of `lottery server` for a sealed draw. */
import { Effect, Option } from "effect"
import { CliError, type Command } from "effect/cli"
import { FileUnavailable } from "../../../domain/FileUnavailable.ts"
import { sealKeyFromPem } from "../../../protocol/notes/SignedNote.ts"
import { readText } from "../../files/WholeFile.ts"
import { SealName } from "../SealName.ts"
import * as Setting from "../Setting.ts"

export const settings = {
  sealKey: Setting.file("seal-key", "PEM file with the Ed25519 private key that seals the draw"),
  sealName: Setting.optional("seal-name", "<name>", {
    description: "The operator's name in the seal, such as lottery.example",
    schema: SealName
  }),
  publishSeal: Setting.flag("publish-seal", "With --http, let anyone fetch the seal and the result")
}

type Given = Command.Command.Config.Infer<typeof settings>

interface Others {
  readonly hasDraw: boolean
  readonly hasHttp: boolean
}

const refuse = (message: string) => Effect.fail(new CliError.ValidationError({ message }))

/** Checks the settings together, then reads the key; undefined if the draw is not sealed. */
export const read = Effect.fnUntraced(function* (given: Given, { hasDraw, hasHttp }: Others) {
  if (Option.isSome(given.sealKey) !== Option.isSome(given.sealName)) {
    return yield* refuse("seal-key and seal-name must be given together: one of them is missing")
  }
  const key = Option.getOrUndefined(Option.all({ file: given.sealKey, name: given.sealName }))
  if (given.publishSeal && (key === undefined || !hasHttp)) {
    return yield* refuse("publish-seal needs --http and --seal-key")
  }
  if (key === undefined) return undefined
  if (!hasDraw) {
    return yield* refuse("seal-key needs a draw name that was never used with it: add --draw")
  }
  const { file, name } = key
  return yield* Effect.mapError(
    Effect.fromResult(sealKeyFromPem(name, yield* readText(file))),
    (reason) => new FileUnavailable({ file, reason })
  )
})
