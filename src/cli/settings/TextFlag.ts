/**
 * Flags and arguments with a value. The value is any text, because a Schema checks it later and
 * explains the error. The type serves the shells' completion and the help.
 */
import { type Argument, type Flag, Param, Primitive } from "effect/cli"

/** Gives a type's name to a flag of any text. */
const unchecked = (type: Primitive.Primitive<string>): Primitive.Primitive<string> =>
  Object.assign(type, { parse: Primitive.String.parse })

const typeOf = (placeholder: string, choices?: ReadonlyArray<string>) => {
  if (choices !== undefined) {
    return unchecked(Primitive.Choice(choices.map((choice) => [choice, choice])))
  }
  if (placeholder === "<file>") return unchecked(Primitive.Path("file"))
  if (placeholder === "<folder>") return unchecked(Primitive.Path("directory"))
  return Primitive.String
}

/**
 * Makes a flag. The help shows `placeholder` for its value, and the choices. Shells complete the
 * choices, the name of a file for `<file>`, and that of a folder for `<folder>`.
 */
export const make = (
  name: string,
  placeholder: string,
  choices?: ReadonlyArray<string>
): Flag.Flag<string> =>
  Param.makeSingle({
    kind: Param.flagKind,
    name,
    typeName: placeholder,
    primitiveType: typeOf(placeholder, choices)
  })

/** Makes an argument, the name of a file. */
export const fileArgument = (name: string): Argument.Argument<string> =>
  Param.makeSingle({ kind: Param.argumentKind, name, primitiveType: typeOf("<file>") })
