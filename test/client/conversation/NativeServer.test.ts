/**
 * Goal: a client whose write fails reports the server's reason, if there is one. Method: a
 * connection whose writes fail, with an answer that arrived before.
 */
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { expect } from "vitest"
import * as NativeServer from "../../../src/client/conversation/NativeServer.ts"
import { unlessTls } from "../../../src/client/ServerConnection.ts"
import * as ByteReader from "../../../src/protocol/ByteReader.ts"
import { encodeNativeReply } from "../../../src/protocol/native/NativeFrames.ts"
import * as Native from "../../../src/protocol/native/NativeMessages.ts"
import { ConnectionLost } from "../../../src/protocol/PeerConnection.ts"
import { NOT_TLS_ALERT } from "../../../src/protocol/TlsRecord.ts"

const encoded = (reply: Native.NativeReply) => Result.getOrThrow(encodeNativeReply(reply))

it.effect.each([
  ["Refused", encoded(new Native.Rejected({ code: "Busy", message: "later" }))],
  ["TlsMismatch", NOT_TLS_ALERT],
  ["ConnectionLost", encoded(new Native.Ack({ bets: 1 }))],
  ["ConnectionLost", Uint8Array.of(0, 0, 0, 1, 9)]
] as const)("a failed write after an earlier answer results in %s", ([tag, answer]) =>
  Effect.gen(function* () {
    const lost = Effect.fail(new ConnectionLost({ reason: "reset" }))
    const reader = unlessTls(ByteReader.make(Effect.succeed([answer])), { host: "h", port: 1 })
    const server = NativeServer.make({ reader, write: () => lost, lost, end: Effect.void })
    expect((yield* Effect.flip(server.send(new Native.AwaitWinners({}))))._tag).toBe(tag)
  })
)
