/** Goal: a connection that waits for its handshake keeps at most one record. */
import type * as Net from "node:net"
import { PassThrough } from "node:stream"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { MAX_RECORD_BYTES } from "../../../src/protocol/TlsRecord.ts"
import * as TlsHello from "../../../src/server/admission/TlsHello.ts"

const helloOf = (bytes: number) => {
  const stream = new PassThrough({ highWaterMark: 2 * MAX_RECORD_BYTES })
  stream.write(Buffer.alloc(bytes, "160301", "hex"))
  return TlsHello.read(stream as unknown as Net.Socket)
}

it.live("the first message may be as long as a record, and no longer", () =>
  Effect.gen(function* () {
    yield* (yield* helloOf(MAX_RECORD_BYTES)).begun
    const { message } = yield* Effect.flip((yield* helloOf(MAX_RECORD_BYTES + 1)).begun)
    expect(message).toBe("the TLS handshake failed: its first message has more than 16389 bytes")
  })
)
