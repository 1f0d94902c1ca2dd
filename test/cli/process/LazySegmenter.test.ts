import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { LazySegmenter } from "../../../src/cli/process/LazySegmenter.ts"

const OPTIONS = [undefined, { granularity: "grapheme" }] as const

const split = (segmenter: Pick<LazySegmenter, "segment">, text: string) =>
  Array.from(segmenter.segment(text), ({ segment }) => segment)

const lazy = new LazySegmenter(...OPTIONS)
const eager = new Intl.Segmenter(...OPTIONS)

describe("a segmenter", () => {
  it.each(["", "lottery --help", "a\r\nb", "e\u0301", "\ud83c\uddea\ud83c\uddf8!", "ñandú"])(
    "splits %j as Intl.Segmenter does",
    (text) => {
      expect(split(lazy, text)).toEqual(split(eager, text))
    }
  )

  it("splits any text as Intl.Segmenter does", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "grapheme" })), (text) => {
        expect(split(lazy, text)).toEqual(split(eager, text))
      })
    )
  })
})
