/** A book of one bet, given field by field: by flags, or in the environment as the course does. */
import { Effect, Option } from "effect"
import { CliError, type Command } from "effect/cli"
import { Bet, Birthdate, Document, Name, NumberFromDigits } from "../../domain/Bet.ts"
import * as Setting from "./Setting.ts"
import type { TextSchema } from "./SettingText.ts"

/** A field's setting, and how a person gives it. */
const field = <A>(
  flag: string,
  key: string,
  what: string,
  placeholder: string,
  schema: TextSchema<A>
) => ({
  hint: `--${flag} or ${key}`,
  setting: Setting.optionalWhenUsed(flag, placeholder, {
    description: `${what} of a single bet`,
    schema,
    keys: [key]
  })
})

const FIELDS = {
  firstName: field("first-name", "NOMBRE", "First name", "<name>", Name),
  lastName: field("last-name", "APELLIDO", "Last name", "<name>", Name),
  document: field("document", "DOCUMENTO", "Document", "<digits>", Document),
  birthdate: field("birthdate", "NACIMIENTO", "Birthdate", "<YYYY-MM-DD>", Birthdate),
  number: field("number", "NUMERO", "Number", "<number>", NumberFromDigits)
}

export const settings = {
  firstName: FIELDS.firstName.setting,
  lastName: FIELDS.lastName.setting,
  document: FIELDS.document.setting,
  birthdate: FIELDS.birthdate.setting,
  number: FIELDS.number.setting
}

export type Settings = Command.Command.Config.Infer<typeof settings>

/** Whether a flag gives a field of it; the environment may have one by accident. */
export const hasFlag = (given: Settings): boolean =>
  Object.values(given).some((field) => field.hasFlag)

/** The bet that the settings give; none if they give no field of one. */
export const fromSettings = Effect.fnUntraced(function* (given: Settings) {
  const values = yield* Effect.all({
    firstName: given.firstName.value,
    lastName: given.lastName.value,
    document: given.document.value,
    birthdate: given.birthdate.value,
    number: given.number.value
  })
  const bet = Option.all(values)
  if (Option.isSome(bet)) return Option.some(new Bet(bet.value))
  const fields = Object.entries(values) as ReadonlyArray<[keyof Settings, Option.Option<unknown>]>
  const missing = fields.filter(([, value]) => Option.isNone(value))
  if (missing.length === fields.length) return Option.none()
  const hints = missing.map(([name]) => FIELDS[name].hint).join(", ")
  const message = `a single bet needs all its fields; missing: ${hints}`
  return yield* new CliError.ValidationError({ message })
})
