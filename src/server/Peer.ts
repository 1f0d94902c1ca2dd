/** A peer that is connected, as every conversation sees it. */
import type { PeerConnection } from "../protocol/PeerConnection.ts"

export interface Peer {
  /** Where it connected from. */
  readonly ip: string
  readonly connection: PeerConnection
}
