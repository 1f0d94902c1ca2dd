/**
 * The two log formats: the course's text, `2023-03-30 21:50:49 INFO     action: sorteo | result:
 * success` in local time, and one JSON object per line with the same keys. Messages other than an
 * `ActionLine` are plain text.
 */
import { Cause, Logger, LogLevel as LogLevels, References } from "effect"
import { ActionLine } from "../../domain/ActionLog.ts"

export const LOG_FORMATS = ["text", "json"] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

/** Python's names, which the course's log shows. */
export const LOG_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** The lowest of Effect's levels that each level shows. */
export const MINIMUM_LEVELS: Readonly<Record<LogLevel, LogLevels.LogLevel>> = {
  DEBUG: "All",
  INFO: "Info",
  WARNING: "Warn",
  ERROR: "Error",
  CRITICAL: "Fatal"
}

const SHOWN_LEVELS: Readonly<Record<LogLevels.LogLevel, LogLevel>> = {
  All: "DEBUG",
  Trace: "DEBUG",
  Debug: "DEBUG",
  Info: "INFO",
  Warn: "WARNING",
  Error: "ERROR",
  Fatal: "CRITICAL",
  None: "CRITICAL"
}

const LEVEL_WIDTH = 8

const twoDigits = (value: number): string => String(value).padStart(2, "0")

const localTime = (date: Date): string =>
  `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())} ` +
  `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}`

/** Formats local time, with one calendar conversion per second instead of one per line. */
const makeLocalClock = (): ((date: Date) => string) => {
  let second = Number.NaN
  let shown = ""
  return (date) => {
    const now = Math.floor(date.getTime() / 1000)
    if (now !== second) {
      second = now
      shown = localTime(date)
    }
    return shown
  }
}

/** Characters that could begin a line, control a terminal or reorder its text. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}]/gu
/** Also the field separator, and a backslash that would look like one of our escapes. */
const UNSAFE_IN_TEXT = /[|\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}]|\\(?=u[0-9a-fA-F]{4})/gu

/** Text with nothing to escape. V8 takes a millisecond to build the patterns with `\p`. */
const PLAIN = /^[ -[\]-{}~]*$/

const escapeAll = (text: string, unsafe: RegExp): string =>
  PLAIN.test(text)
    ? text
    : text.replace(
        unsafe,
        (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
      )

export const escapeControls = (text: string): string => escapeAll(text, UNSAFE)

/** Longer values are cut: a peer's text must not fill the log. */
const MAX_VALUE_CHARACTERS = 16 * 1024

const cut = (text: string): string =>
  text.length <= MAX_VALUE_CHARACTERS
    ? text
    : `${text.slice(0, MAX_VALUE_CHARACTERS)}… (${text.length} characters)`

const escapeValue = (text: string): string => escapeAll(cut(text), UNSAFE_IN_TEXT)

const showField = ([key, value]: readonly [string, unknown]): string =>
  `${escapeValue(key)}: ${typeof value === "string" ? escapeValue(value) : showPlain(value)}`

const plainText = (part: unknown): string =>
  part instanceof Error ? (part.stack ?? part.message) : String(part)

const showPlain = (part: unknown): string => escapeValue(plainText(part))

const STACK_LINE = /^ +at /

/**
 * The lines of an error from `Cause.prettyErrors`. Its stack begins with its message, which may be
 * a peer's text, so only lines of the stack itself may start a line.
 */
const errorLines = (error: Error): ReadonlyArray<string> => {
  const message = `${error.name}: ${error.message}`
  const stack = error.stack?.slice(message.length).split("\n") ?? []
  const lines = [message, ...stack.filter((line) => STACK_LINE.test(line))].map(escapeValue)
  if (!(error.cause instanceof Error)) return lines
  const [first, ...rest] = errorLines(error.cause)
  return [...lines, `[cause]: ${first}`, ...rest]
}

/** Writes a cause as indented lines, none of which can look like a log line. */
export const showCause = (cause: Cause.Cause<unknown>): string =>
  cut(
    Cause.prettyErrors(cause)
      .flatMap(errorLines)
      .map((line) => `\n    ${line}`)
      .join("")
  )

type Options = Logger.Options<unknown>

const partsOf = (message: unknown): ReadonlyArray<unknown> =>
  Array.isArray(message) ? message : [message]

const annotationsOf = (options: Options): Array<[string, unknown]> =>
  Object.entries(options.fiber.getRef(References.CurrentLogAnnotations))

/**
 * Makes lines of the text format, without line endings. Values escape `|`, controls and so on as
 * `\u007c`, so that a peer's text cannot look like another field or line.
 */
const makeText = () => {
  const timeOf = makeLocalClock()
  return (options: Options): string => {
    const fields = partsOf(options.message).flatMap((part) =>
      part instanceof ActionLine ? part.entries().map(showField) : showPlain(part)
    )
    fields.push(...annotationsOf(options).map(showField))
    const cause = options.cause.reasons.length > 0 ? showCause(options.cause) : ""
    const level = SHOWN_LEVELS[options.logLevel].padEnd(LEVEL_WIDTH)
    return `${timeOf(options.date)} ${level} ${fields.join(" | ")}${cause}`
  }
}

/** Makes a line of the JSON format, without its line ending; `time` is UTC. */
const toJson = (options: Options): string => {
  const line: Record<string, unknown> = {
    time: options.date.toISOString(),
    level: SHOWN_LEVELS[options.logLevel]
  }
  const plain: Array<string> = []
  for (const part of partsOf(options.message)) {
    if (part instanceof ActionLine) Object.assign(line, Object.fromEntries(part.entries()))
    else plain.push(plainText(part))
  }
  if (plain.length > 0) line.message = plain.join(" ")
  for (const [key, value] of annotationsOf(options)) line[key] ??= value
  if (options.cause.reasons.length > 0) line.cause = Cause.pretty(options.cause)
  return escapeControls(
    JSON.stringify(line, (_, value) => (typeof value === "string" ? cut(value) : value))
  )
}

/** The log settings, set once the flags have been parsed. */
export interface LogChoice {
  format: LogFormat
  level: LogLevel
}

/**
 * Writes each line with one call of `write`. It reads `choice` for each line, so that lines before
 * and after the command (a signal, the exit) follow its flags too.
 */
export const makeLogger = (
  choice: LogChoice,
  write: (line: string) => void
): Logger.Logger<unknown, void> => {
  const formats = { text: makeText(), json: toJson }
  return Logger.make((options) => {
    if (LogLevels.isLessThan(options.logLevel, MINIMUM_LEVELS[choice.level])) return
    write(`${formats[choice.format](options)}\n`)
  })
}
