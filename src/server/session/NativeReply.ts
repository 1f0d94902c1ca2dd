/** Says a message of the native dialect to a peer. */
import { Effect } from "effect"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import { encodeNativeReply } from "../../protocol/native/NativeFrames.ts"
import type { NativeReply } from "../../protocol/native/NativeMessages.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import type { Peer } from "../admission/Peer.ts"

export const say = (
  { connection }: Peer,
  reply: NativeReply
): Effect.Effect<void, BadMessage | ConnectionLost> =>
  Effect.flatMap(Effect.fromResult(encodeNativeReply(reply)), connection.write)
