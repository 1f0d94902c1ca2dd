/** The error of a port that cannot be listened on. */
import { Data } from "effect"

export class ListenError extends Data.TaggedError("ListenError")<{
  readonly host: string
  readonly port: number
  readonly reason: string
}> {
  override get message(): string {
    return `cannot listen on ${this.host}:${this.port}: ${this.reason}`
  }
}

interface Binding {
  readonly host: string
  readonly port: number
}

/** Makes the error from Node's, which has the reason that helps an operator. */
export const listenErrorOf = ({ host, port }: Binding, cause: unknown): ListenError => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  const known = cause instanceof Error ? cause.message : String(cause)
  const reason = code === "EADDRINUSE" ? "the port is in use" : known
  return new ListenError({ host, port, reason })
}
