/** A book of one bet, given field by field: by flags, or by the course's environment variables. */
import { Effect, Option } from "effect"
import { CliError, type Command } from "effect/cli"
import { Bet, Birthdate, Document, Name, NumberFromDigits } from "../../domain/Bet.ts"
import * as Setting from "./Setting.ts"
import type { TextSchema } from "./SettingText.ts"

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

export const hasFlag = (given: Settings): boolean =>
  Object.values(given).some((field) => field.hasFlag)

/** Returns the bet, or none if no field is given. */
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
