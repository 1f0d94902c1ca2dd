/**
 * The seal of the draw and its signed result, as files for the public (docs/http.md). A file never
 * changes once it is recorded, so each is read from the store once and kept: a seal of many large
 * books takes tens of megabytes.
 */
import { createHash } from "node:crypto"
import { Effect, Option } from "effect"
import { showSealFile } from "../../../protocol/notes/SealFile.ts"
import type { BetStore, StoreUnavailable } from "../../store/BetStore.ts"
import * as SharedLook from "./SharedLook.ts"

export const NAMES = ["seal", "result"] as const
export type Name = (typeof NAMES)[number]

export interface PublishedFile {
  readonly bytes: Uint8Array
  readonly etag: string
}

/** Returns a file; undefined if it does not exist yet. */
export type PublishedFiles = (
  name: Name
) => Effect.Effect<PublishedFile | undefined, StoreUnavailable>

/** `note` is the part that is signed, which identifies the whole text. */
const fileOf = (text: string, note: string): PublishedFile => ({
  bytes: Buffer.from(text),
  etag: `"${createHash("sha256").update(note).digest("hex")}"`
})

export const make = Effect.fnUntraced(function* ({
  draw,
  evidence
}: Pick<BetStore["Service"], "draw" | "evidence">) {
  const files: { [name in Name]?: PublishedFile } = {}
  const look = Effect.gen(function* () {
    // The evidence contains the entries of the seal, so it is read only for what is new.
    const { drawn = false, sealed = false } = Option.getOrUndefined(yield* draw) ?? {}
    if (!sealed || (files.seal !== undefined && !drawn)) return
    const { entries, result, seal } = yield* evidence
    if (entries !== undefined && seal !== undefined) {
      files.seal ??= fileOf(showSealFile({ entries, note: seal }), seal)
    }
    if (result !== undefined) files.result ??= fileOf(result, result)
  })
  const shared = yield* SharedLook.make(look)
  const published: PublishedFiles = (name) =>
    Effect.suspend(() => {
      const file = files[name]
      return file === undefined ? Effect.map(shared, () => files[name]) : Effect.succeed(file)
    })
  return published
})
