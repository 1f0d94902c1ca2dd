/** One side speaks TLS and the other does not: what each sees of it, and what a person can do. */
import { Data, Effect } from "effect"
import * as ByteReader from "../protocol/ByteReader.ts"
import type { ConnectionLost } from "../protocol/PeerConnection.ts"
import { beginsWithAlert } from "../protocol/TlsRecord.ts"
import type { ServerAddress } from "./ServerConnection.ts"

/** Trying again does not help: either the server or the client is to be started in another way. */
export class TlsMismatch extends Data.TaggedError("TlsMismatch")<{
  readonly server: ServerAddress
}> {
  get reason(): string {
    return this.server.tls === undefined
      ? "the server speaks TLS: name its CA with --tls-ca, or give --tls if that is a public one"
      : "the server does not speak TLS: leave out --tls, --tls-ca, --tls-cert and --tls-key"
  }

  override get message(): string {
    const { host, port } = this.server
    return `${host}:${port}: ${this.reason}`
  }
}

/** OpenSSL's code for a first answer that is not TLS, such as text. */
const NO_TLS_CODE = "ERR_SSL_WRONG_VERSION_NUMBER"

/** Whether an error of a handshake says that the server speaks no TLS. */
export const isNoTls = (error: Error): boolean => "code" in error && error.code === NO_TLS_CODE

/** The shortest answer of any dialect, and enough to tell an alert from it. */
const FIRST_BYTES = 2

/** The same bytes, unless a server that is spoken to in the clear begins with an alert of TLS. */
export const unlessTls = (
  reader: ByteReader.ByteReader<ConnectionLost>,
  server: ServerAddress
): ByteReader.ByteReader<ConnectionLost | TlsMismatch> => {
  let isFirst = true
  const pull = Effect.gen(function* () {
    if (isFirst) {
      if (beginsWithAlert(yield* reader.peek(FIRST_BYTES)))
        return yield* new TlsMismatch({ server })
      isFirst = false
    } else {
      yield* reader.fill
    }
    return [yield* reader.take(reader.buffered().length)]
  })
  return ByteReader.make(pull)
}
