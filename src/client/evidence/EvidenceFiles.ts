/**
 * The folder of `--evidence`: the receipts, proofs and results that an agency keeps of one draw.
 * A file is never replaced: other content of the same kind gets the next number, as
 * `agency-3-2.receipt` after `agency-3.receipt`.
 */
import { Clock, Effect, FileSystem, Option, Path, Result } from "effect"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { temporaryName } from "../../domain/TemporaryName.ts"
import { toBase64 } from "../../protocol/notes/Base64.ts"
import type { DrawResult } from "../../protocol/notes/DrawResult.ts"
import type { Receipt } from "../../protocol/notes/Receipt.ts"
import { openProof } from "../../protocol/notes/TlogProof.ts"
import { type EvidenceOwner, openOwnReceipt, openOwnResult } from "./SealedDraw.ts"

/** What a kept file is; the end of its name. */
export type Kind = "receipt" | "seal-head.tlog-proof" | "book.tlog-proof" | "result"

/** What earlier runs kept. */
export interface Kept {
  /** The receipts of all the agency's books. */
  readonly receipts: ReadonlyArray<Receipt>
  /** The root of each seal, in base64, and when it was kept, in milliseconds since the epoch. */
  readonly seals: ReadonlyArray<{ readonly root: string; readonly keptMillis: number }>
  readonly results: ReadonlyArray<DrawResult>
}

export interface EvidenceFiles {
  readonly kept: Kept
  /** Keeps a document; when it returns, the file is whole and durable. */
  readonly keep: (kind: Kind, content: string) => Effect.Effect<void, FileUnavailable>
}

/**
 * Opens the folder, which exists. Fails if a file in it cannot be read, or is not evidence of this
 * draw under this key.
 */
export const open = Effect.fn("EvidenceFiles.open")(function* (
  folder: string,
  owner: EvidenceOwner
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path

  const nameOf = (kind: Kind, copy: number) =>
    path.join(folder, `agency-${owner.agency}${copy === 1 ? "" : `-${copy}`}.${kind}`)

  /** Reads the file of that name; undefined if there is none. */
  const read = (file: string) =>
    fs.readFileString(file).pipe(
      Effect.catchIf(
        ({ reason }) => reason._tag === "NotFound",
        () => Effect.undefined
      ),
      Effect.mapError(fileUnavailable(file))
    )

  /** Reads all files of a kind, in the order in which they were kept. */
  const readAll = Effect.fnUntraced(function* <A>(
    kind: Kind,
    decode: (content: string) => Result.Result<A, string>
  ) {
    const found: Array<{ readonly file: string; readonly value: A }> = []
    for (let copy = 1; ; copy++) {
      const file = nameOf(kind, copy)
      const content = yield* read(file)
      if (content === undefined) return found
      const value = yield* Effect.fromResult(
        Result.mapError(decode(content), (problem) => {
          const reason = `not evidence of agency ${owner.agency} in the draw ${owner.draw}`
          return new FileUnavailable({
            file,
            reason: `${reason} (${problem}); use a folder for each draw`
          })
        })
      )
      found.push({ file, value })
    }
  })

  const receipts = yield* readAll("receipt", (note) => openOwnReceipt(note, owner))
  const heads = yield* readAll("seal-head.tlog-proof", (proof) =>
    openProof(proof, owner.draw, owner.operator)
  )
  const results = yield* readAll("result", (note) => openOwnResult(note, owner))
  const seals = yield* Effect.forEach(heads, ({ file, value: { checkpoint } }) =>
    Effect.map(Effect.mapError(fs.stat(file), fileUnavailable(file)), ({ mtime }) => ({
      root: toBase64(checkpoint.root),
      // A file without a time is no evidence of when it was kept.
      keptMillis: Option.match(mtime, {
        onNone: () => Number.POSITIVE_INFINITY,
        onSome: (time) => time.getTime()
      })
    }))
  )

  const write = Effect.fnUntraced(
    function* (file: string, content: string) {
      const temporary = yield* temporaryName(file)
      const now = new Date(yield* Clock.currentTimeMillis)
      yield* Effect.gen(function* () {
        const opened = yield* fs.open(temporary, { flag: "wx" })
        yield* opened.writeAll(new TextEncoder().encode(content))
        yield* fs.utimes(temporary, now, now)
        yield* opened.sync
      }).pipe(
        Effect.scoped,
        Effect.andThen(fs.rename(temporary, file)),
        Effect.onError(() => Effect.ignore(fs.remove(temporary)))
      )
      yield* Effect.scoped(Effect.flatMap(fs.open(folder), ({ sync }) => sync))
    },
    (effect, file) => Effect.mapError(effect, fileUnavailable(file))
  )

  const keep = Effect.fn("EvidenceFiles.keep")(function* (kind: Kind, content: string) {
    for (let copy = 1; ; copy++) {
      const file = nameOf(kind, copy)
      const existing = yield* read(file)
      if (existing === content) return
      if (existing === undefined) return yield* write(file, content)
    }
  })

  const kept: Kept = {
    receipts: receipts.map(({ value }) => value),
    seals,
    results: results.map(({ value }) => value)
  }
  return { kept, keep } satisfies EvidenceFiles
})
