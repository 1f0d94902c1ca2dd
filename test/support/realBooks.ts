/**
 * The five real books, if available: in the archive that `LOTTERY_REAL_BOOKS` names, by default
 * `../shared/data/dataset.zip` relative to the project's root. They are not part of the project.
 */
import { createReadStream, existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Stream } from "effect"
import * as Zip from "effect/encoding/Zip"

const ARCHIVE =
  process.env.LOTTERY_REAL_BOOKS ||
  join(import.meta.dirname, "..", "..", "..", "shared", "data", "dataset.zip")

export const areAtHand = existsSync(ARCHIVE)

/** The expected results, from the description that comes with the books. */
export const EXPECTED: ReadonlyArray<{
  readonly agency: number
  readonly bets: number
  readonly winners: number
  /** SHA-256 of the book with LF line endings. */
  readonly sha256: string
}> = [
  {
    agency: 1,
    bets: 26_936,
    winners: 2,
    sha256: "be8333e4f3fef57a7bfd88119f93dd441ba80ae37864fcb120234effe56e31b1"
  },
  {
    agency: 2,
    bets: 25_518,
    winners: 3,
    sha256: "9eb023c47389003bcb54a3088e0d0922df426257f83b7af14538be4027cffec5"
  },
  {
    agency: 3,
    bets: 16_014,
    winners: 3,
    sha256: "5f117786b9f49238fc7139a5f26d493f0f28e61da35af7e18510a9e1eb1c0973"
  },
  {
    agency: 4,
    bets: 9_238,
    winners: 2,
    sha256: "85b53ec689742b40e95fa13211c1837c4dea47ae1079a4f58f887ea1443e0dd2"
  },
  {
    agency: 5,
    bets: 991,
    winners: 0,
    sha256: "c3d4d9a47b1036bc9bdf1b4c6a5a1fae1e7a22e9c4741335f40caf0f9e324c08"
  }
]

export const unpack = (folder: string) =>
  Stream.fromAsyncIterable(createReadStream(ARCHIVE), (cause) => cause).pipe(
    Stream.map((chunk: Uint8Array) => chunk),
    Stream.pipeThroughChannel(Zip.decode()),
    Stream.runForEach((entry) =>
      Effect.flatMap(Stream.runCollect(entry.body), (chunks) =>
        Effect.promise(() => writeFile(join(folder, entry.header.path), Buffer.concat([...chunks])))
      )
    )
  )
