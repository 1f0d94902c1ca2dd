/**
 * The scripts with which a shell completes `lottery`. They know the flags that every command has,
 * which effect/cli leaves out.
 */
import { Console, Effect, Option } from "effect"
import { Command, Completions, GlobalFlag } from "effect/cli"
import * as ConfigFile from "../settings/ConfigFile.ts"
import { LogFormatFlag, LogLevelFlag } from "../settings/LogSettings.ts"

/** The settings of every command. */
export const GLOBAL_SETTINGS = [ConfigFile.ConfigFlag, LogLevelFlag, LogFormatFlag] as const

const ACTIONS = [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions]

/** Adds flags to a command and those below it. */
const withFlags = (
  command: Completions.CommandDescriptor,
  flags: Completions.CommandDescriptor["flags"]
): Completions.CommandDescriptor => ({
  ...command,
  flags: [...command.flags, ...flags],
  subcommands: command.subcommands.map((subcommand) => withFlags(subcommand, flags))
})

const describe = (command: Command.Command.Any): Completions.CommandDescriptor => {
  const globals = [...GLOBAL_SETTINGS, ...ACTIONS].map(({ flag }) => flag)
  const { flags } = Completions.fromCommand(Command.make("globals", { globals }))
  // Nobody needs --no-help.
  const shown = flags.map((flag) => ({ ...flag, negation: false as const }))
  return withFlags(Completions.fromCommand(command), shown)
}

/**
 * Replaces the function of effect/cli's script that completes paths, because it puts a space after
 * a folder, not a slash. The Bash of macOS has no `compopt` and keeps it.
 */
const bashPaths = (name: string): string => `
if type compopt &> /dev/null; then
  _${name}--paths()
  {
    if [[ "$1" == -d ]]; then compopt -o dirnames; else compopt -o default; fi
  }
fi`

const scriptOf = (command: Command.Command.Any, shell: Completions.Shell): string => {
  const script = Completions.generate(command.name, shell, describe(command))
  return shell === "bash" ? script + bashPaths(command.name) : script
}

/** Prints the script for a shell. */
export const CompletionsFlag: typeof GlobalFlag.Completions = {
  ...GlobalFlag.Completions,
  run: (shell, { command }) =>
    Option.match(shell, {
      onNone: () => Effect.void,
      onSome: (name) => Console.log(scriptOf(command, name))
    })
}
