/** A file that cannot be read or written, in one line: which, and why. */
import { Data, type PlatformError } from "effect"

export class FileUnavailable extends Data.TaggedError("FileUnavailable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

/** What is unavailable if the command cannot make a file of its own. */
export const TEMPORARY_FILES = "the folder of temporary files (TMPDIR)"

const REASONS: Readonly<Record<string, string>> = {
  NotFound: "no such file or folder",
  PermissionDenied: "permission denied",
  AlreadyExists: "is there already, and not a folder"
}

/** What an error of the file system means for `file`; in the system's own words if it is rare. */
export const fileUnavailable =
  (file: string) =>
  ({ message, reason }: PlatformError.PlatformError): FileUnavailable => {
    const cause = "cause" in reason && reason.cause instanceof Error ? reason.cause : undefined
    return new FileUnavailable({ file, reason: REASONS[reason._tag] ?? cause?.message ?? message })
  }
