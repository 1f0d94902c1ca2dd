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

/** What the errors of the operating system mean that have no reason of their own. */
const CODES: Readonly<Record<string, string>> = {
  EISDIR: "is a folder, expected a file",
  ENOTDIR: "is a file, or is inside one; expected a folder"
}

/** Converts a file system error; a rare one keeps the message of the operating system. */
export const fileUnavailable =
  (file: string) =>
  ({ message, reason }: PlatformError.PlatformError): FileUnavailable => {
    const cause = "cause" in reason && reason.cause instanceof Error ? reason.cause : undefined
    const code = cause !== undefined && "code" in cause ? CODES[String(cause.code)] : undefined
    const known = REASONS[reason._tag] ?? code
    return new FileUnavailable({ file, reason: known ?? cause?.message ?? message })
  }
