/**
 * Runs the command line as a process: signals, what goes to which stream, and the exit code.
 *
 * 0: done, or stopped by SIGTERM after closing everything. 1: failed, with one line that says what
 * and why. 2: wrong usage, all of it on standard error. 130: SIGINT ended the command before it had
 * done what it is for.
 */
import { Cause, Console, Effect, Exit, Fiber, Layer, Logger, References, Runtime } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { ClosingFailed } from "../../domain/LoggedResource.ts"
import { escapeControls, type LogChoice, makeLogger, showCause } from "../log/LogFormat.ts"
import { LogOutput } from "../log/LogOutput.ts"
import { CurrentStatusLine, StatusLine } from "../log/StatusLine.ts"
import { CurrentPurpose, type Purpose } from "./Purpose.ts"
import { type Signal, whenFirst } from "./Signals.ts"

const EXIT_DONE = 0
const EXIT_FAILED = 1
const EXIT_WRONG_USAGE = 2
/** As a shell shows a command that SIGINT ended. */
const EXIT_INTERRUPTED = 130

/** What ended the command from outside: a signal, or its output that cannot be written. */
interface Stop {
  readonly signal?: Signal
  readonly output?: NodeJS.ErrnoException
}

const awaitStop = Effect.callback<Stop>((resume) => {
  whenFirst((signal) => resume(Effect.succeed({ signal })))
  process.stdout.on("error", (output) => resume(Effect.succeed({ output })))
})

/** For a terminal that does not say its width. */
const DEFAULT_COLUMNS = 80

/** How long a stopped command waits for the rest of its output to be read. */
export const FLUSH_TIMEOUT = "1 second"

/** Waits until what was printed is written, or cannot be. */
const flushOutput = Effect.callback<void>((resume) => {
  if (process.stdout.destroyed) resume(Effect.void)
  else process.stdout.write("", () => resume(Effect.void))
})

/** Standard error as a terminal; one that says it is dumb cannot draw a line again. */
const makeStatusLine = (output: LogOutput): StatusLine =>
  new StatusLine({
    isTerminal: output.isTerminal && process.env.TERM !== "dumb",
    columns: () => process.stderr.columns || DEFAULT_COLUMNS,
    write: (text) => output.write(text)
  })

/** The log, whose lines stand above the status line; it says how many of them it had to drop. */
const makeLog = (choice: LogChoice) => {
  const output = new LogOutput((cantidad) =>
    Effect.runSync(Effect.provide(logAction("log_dropped", "fail", { cantidad }), layer))
  )
  const status = makeStatusLine(output)
  const layer = Logger.layer([makeLogger(choice, (line) => status.writeAbove(line))])
  return { status, layer }
}

/**
 * A message of the command line, fit for a terminal. Further lines are indented: a line end in an
 * argument cannot make a line that looks like one of the log.
 */
const shownLines = (message: string): string =>
  message
    .replace(/\n(?=\S)/g, "\n    ")
    .split("\n")
    .map(escapeControls)
    .join("\n")

/** Writes to standard error what is no line of the log, in its place among these. */
const tell = (text: string): Effect.Effect<void> =>
  Effect.map(CurrentStatusLine, (status) => status.writeAbove(`${text}\n`))

/**
 * Help and version that were asked for go to standard output; what is shown because the usage was
 * wrong goes to standard error: a line for each thing that is wrong, and where to read on.
 */
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
    builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions]
  }),
  CliOutput.layerPresenter(presenter)
)

/** What went wrong, with the cause if the message does not contain it. */
const errorText = (error: unknown): string => {
  if (!(error instanceof Error) || error.message === "") return String(error)
  const { cause, message } = error
  return cause instanceof Error && !message.includes(cause.message)
    ? `${message}: ${cause.message}`
    : message
}

/** One line; at the debug level the whole cause follows. */
const logFailure = (cause: Cause.Cause<unknown>, choice: LogChoice): Effect.Effect<void> => {
  const error = Cause.squash(cause)
  const isInternal = Cause.hasDies(cause) && !(error instanceof ClosingFailed)
  const text = isInternal ? `internal error: ${errorText(error)}` : errorText(error)
  const line = text.replaceAll("\n", " ")
  return choice.level === "DEBUG" ? Effect.logFatal(line, cause) : Effect.logFatal(line)
}

/**
 * The exit code of a failed command. What the command line itself found wrong has been printed by
 * the presenter, and so has what carries `[Runtime.errorReported] = false`.
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

/** The exit code if output was lost: none of it was wanted any more, or it is a failure. */
const reportUnwritten = (error: NodeJS.ErrnoException) =>
  error.code === "EPIPE"
    ? Effect.succeed(EXIT_DONE)
    : Effect.as(Effect.logFatal(`standard output cannot be written: ${error.message}`), EXIT_FAILED)

/** Runs `program` until it ends or a stop comes, and gives the exit code. */
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
  // A write that fails says so before its stream does, or after.
  const unwritten = stop.output ?? process.stdout.errored
  if (unwritten !== null) return yield* reportUnwritten(unwritten)
  if (Exit.isFailure(exit) && !(stopped && Cause.hasInterruptsOnly(exit.cause))) {
    return yield* reportFailure(exit.cause, choice)
  }
  if (stopped) yield* logAction("exit", "success")
  const { isFulfilled } = yield* CurrentPurpose
  return Exit.isFailure(exit) && signal === "SIGINT" && !isFulfilled ? EXIT_INTERRUPTED : EXIT_DONE
})

/** Runs a command with the arguments of this process, and ends the process. */
export const runMain = <Name extends string, Input, ContextInput, E>(
  command: Command.Command<Name, Input, ContextInput, E, Command.Environment>,
  options: {
    readonly version: string
    /** Set by the command once its flags are read. */
    readonly choice: LogChoice
    /** Of this process: a command that has done what it is for may be cut off. */
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
    // The logger's own level is the command's, which is not known before its flags are read.
    (self) => Effect.suspend(() => Effect.provideService(self, References.MinimumLogLevel, "All"))
  )
  Runtime.makeRunMain(({ fiber }) =>
    fiber.addObserver((exit) => {
      // What fails here is this file's own mistake: every failure of the command is an exit code.
      if (Exit.isFailure(exit)) process.stderr.write(`lottery failed:${showCause(exit.cause)}\n`)
      process.exit(Exit.isSuccess(exit) ? Number(exit.value) : EXIT_FAILED)
    })
  )(main, { disableErrorReporting: true })
}
