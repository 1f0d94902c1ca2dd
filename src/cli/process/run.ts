/**
 * Runs the command line as a process: signals, streams and the exit code.
 *
 * 0: done, or stopped by SIGTERM after closing everything. 1: failed, with one line that says what
 * and why. 2: wrong usage, explained on standard error. 130: SIGINT ended the command before its
 * work was done.
 */
import { Cause, Console, Effect, Exit, Fiber, Layer, Logger, References, Runtime } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { ClosingFailed } from "../../domain/LoggedResource.ts"
import { escapeControls, type LogChoice, makeLogger, showCause } from "../log/LogFormat.ts"
import { LogOutput } from "../log/LogOutput.ts"
import { CurrentStatusLine, StatusLine } from "../log/StatusLine.ts"
import { CompletionsFlag } from "./Completions.ts"
import { CurrentPurpose, type Purpose } from "./Purpose.ts"
import { type Signal, whenFirst } from "./Signals.ts"

const EXIT_DONE = 0
const EXIT_FAILED = 1
const EXIT_WRONG_USAGE = 2
/** A shell's exit code for a command that SIGINT ended. */
const EXIT_INTERRUPTED = 130

/** What ended the command from outside: a signal, or an error of standard output. */
interface Stop {
  readonly signal?: Signal
  readonly output?: NodeJS.ErrnoException
}

const awaitStop = Effect.callback<Stop>((resume) => {
  whenFirst((signal) => resume(Effect.succeed({ signal })))
  process.stdout.on("error", (output) => resume(Effect.succeed({ output })))
})

/** For a terminal that does not report its width. */
const DEFAULT_COLUMNS = 80

/** How long a stopped command waits for the reader of its output. */
export const FLUSH_TIMEOUT = "1 second"

/** Waits until the output is written or has failed. */
const flushOutput = Effect.callback<void>((resume) => {
  if (process.stdout.destroyed) resume(Effect.void)
  else process.stdout.write("", () => resume(Effect.void))
})

/** A dumb terminal cannot redraw a line. */
const makeStatusLine = (output: LogOutput): StatusLine =>
  new StatusLine({
    isTerminal: output.isTerminal && process.env.TERM !== "dumb",
    columns: () => process.stderr.columns || DEFAULT_COLUMNS,
    write: (text) => output.write(text)
  })

/** The log above the status line; it reports how many lines it dropped. */
const makeLog = (choice: LogChoice) => {
  const output = new LogOutput((cantidad) =>
    Effect.runSync(Effect.provide(logAction("log_dropped", "fail", { cantidad }), layer))
  )
  const status = makeStatusLine(output)
  const layer = Logger.layer([makeLogger(choice, (line) => status.writeAbove(line))])
  return { status, layer }
}

/**
 * Makes a usage error safe for a terminal. It indents further lines, so that a line break in an
 * argument cannot fake a log line.
 */
const shownLines = (message: string): string =>
  message
    .replace(/\n(?=\S)/g, "\n    ")
    .split("\n")
    .map(escapeControls)
    .join("\n")

/** Writes text that is not a log line to standard error, in order with the log. */
const tell = (text: string): Effect.Effect<void> =>
  Effect.map(CurrentStatusLine, (status) => status.writeAbove(`${text}\n`))

/** Help and version on request go to standard output. Usage errors go to standard error. */
const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function* (event) {
    const formatter = yield* CliOutput.Formatter
    switch (event._tag) {
      case "Version":
        return yield* Console.log(formatter.formatVersion(event.name, event.version))
      case "Help": {
        const help = formatter.formatHelpDoc(event.helpDoc)
        return yield* event.reason === "Requested" ? Console.log(help) : tell(help)
      }
      case "InvalidInvocation": {
        const command = event.commandPath.join(" ")
        for (const error of event.errors) {
          yield* tell(`${command}: ${shownLines(formatter.formatCliError(error))}`)
        }
        return yield* tell(`Try: ${command} --help`)
      }
    }
  })
}

const cliLayer = Layer.mergeAll(
  CliConfig.layer({
    builtIns: [GlobalFlag.Help, GlobalFlag.Version, CompletionsFlag]
  }),
  CliOutput.layerPresenter(presenter)
)

const errorText = (error: unknown): string => {
  if (!(error instanceof Error) || error.message === "") return String(error)
  const { cause, message } = error
  return cause instanceof Error && !message.includes(cause.message)
    ? `${message}: ${cause.message}`
    : message
}

/** Logs one line, at the debug level with the whole cause. */
const logFailure = (cause: Cause.Cause<unknown>, choice: LogChoice): Effect.Effect<void> => {
  const error = Cause.squash(cause)
  const isInternal = Cause.hasDies(cause) && !(error instanceof ClosingFailed)
  const text = isInternal ? `internal error: ${errorText(error)}` : errorText(error)
  const line = text.replaceAll("\n", " ")
  return choice.level === "DEBUG" ? Effect.logFatal(line, cause) : Effect.logFatal(line)
}

/**
 * Reports a failure and returns the exit code. The presenter has printed most usage errors. An
 * error with `[Runtime.errorReported] = false` has been reported too.
 */
const reportFailure = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>, choice: LogChoice) {
  const error = Cause.squash(cause)
  if (CliError.isCliError(error) && error._tag !== "UserError") {
    if (error._tag !== "ShowHelp") yield* tell(`lottery: ${shownLines(error.message)}`)
    return EXIT_WRONG_USAGE
  }
  if (Runtime.getErrorReported(error)) yield* logFailure(cause, choice)
  return EXIT_FAILED
})

/** The exit code for lost output; a reader that has gone (EPIPE) is not a failure. */
const reportUnwritten = (error: NodeJS.ErrnoException) =>
  error.code === "EPIPE"
    ? Effect.succeed(EXIT_DONE)
    : Effect.as(Effect.logFatal(`cannot write to standard output: ${error.message}`), EXIT_FAILED)

/** Runs `program` until it ends or is stopped, and returns the exit code. */
const supervise = Effect.fnUntraced(function* <E>(
  program: Effect.Effect<void, E>,
  choice: LogChoice
) {
  let stop: Stop = {}
  const command = yield* Effect.forkChild(program)
  const obeyStop = Effect.gen(function* () {
    stop = yield* awaitStop
    const { signal } = stop
    if (signal !== undefined) yield* logAction("signal_received", "success", { signal })
    yield* Fiber.interrupt(command)
  })
  yield* Effect.forkChild(obeyStop, { startImmediately: true })
  const exit = yield* Fiber.await(command)
  const { signal } = stop
  const stopped = signal !== undefined
  yield* stopped ? Effect.timeoutOption(flushOutput, FLUSH_TIMEOUT) : flushOutput
  // A failed write may be reported before its stream is marked as errored, or after.
  const unwritten = stop.output ?? process.stdout.errored
  if (unwritten !== null) return yield* reportUnwritten(unwritten)
  if (Exit.isFailure(exit) && !(stopped && Cause.hasInterruptsOnly(exit.cause))) {
    return yield* reportFailure(exit.cause, choice)
  }
  if (stopped) yield* logAction("exit", "success")
  const { isFulfilled } = yield* CurrentPurpose
  return Exit.isFailure(exit) && signal === "SIGINT" && !isFulfilled ? EXIT_INTERRUPTED : EXIT_DONE
})

/** Runs a command with the arguments of this process and exits. */
export const runMain = <Name extends string, Input, ContextInput, E>(
  command: Command.Command<Name, Input, ContextInput, E, Command.Environment>,
  options: {
    readonly version: string
    readonly choice: LogChoice
    readonly purpose: Purpose
    readonly services: Layer.Layer<Command.Environment>
  }
): void => {
  const { choice, purpose, services, version } = options
  const log = makeLog(choice)
  const program = Command.run(command, { version }).pipe(
    Effect.provide(Layer.mergeAll(services, cliLayer))
  )
  const main = supervise(program, choice).pipe(
    Effect.provide(log.layer),
    Effect.provideService(CurrentStatusLine, log.status),
    Effect.provideService(CurrentPurpose, purpose),
    // `choice` filters instead: the level is unknown before the flags are parsed.
    (self) => Effect.suspend(() => Effect.provideService(self, References.MinimumLogLevel, "All"))
  )
  Runtime.makeRunMain(({ fiber }) =>
    fiber.addObserver((exit) => {
      // A bug of this file: every failure of the command becomes an exit code.
      if (Exit.isFailure(exit)) process.stderr.write(`lottery failed:${showCause(exit.cause)}\n`)
      process.exit(Exit.isSuccess(exit) ? Number(exit.value) : EXIT_FAILED)
    })
  )(main, { disableErrorReporting: true })
}
