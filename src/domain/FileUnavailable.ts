/** The error of a file that cannot be read or written, as one line. */
import { Data, type PlatformError } from "effect"

export class FileUnavailable extends Data.TaggedError("FileUnavailable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

/** The `file` of the error if a temporary file cannot be created. */
export const TEMPORARY_FILES = "the temporary folder (TMPDIR)"

const REASONS: Readonly<Record<string, string>> = {
  NotFound: "no such file or folder",
  PermissionDenied: "permission denied",
  AlreadyExists: "already exists and is not a folder"
}

/** Converts a file system error; a rare one keeps the message of the operating system. */
export const fileUnavailable =
  (file: string) =>
  ({ message, reason }: PlatformError.PlatformError): FileUnavailable => {
    const cause = "cause" in reason && reason.cause instanceof Error ? reason.cause : undefined
    return new FileUnavailable({ file, reason: REASONS[reason._tag] ?? cause?.message ?? message })
  }
