/** Checks rounds of drand. Loads the curve's code, which is large, when the first one comes. */
import { Effect } from "effect"
import type { Beacon } from "./Quicknet.ts"

/** Whether the signature is quicknet's for this round. */
export const isGenuine = (beacon: Beacon): Effect.Effect<boolean> =>
  Effect.map(
    Effect.promise(() => import("./BeaconSignature.ts")),
    ({ isSignedByQuicknet }) => isSignedByQuicknet(beacon)
  )
