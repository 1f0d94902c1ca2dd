/**
 * Splits text into what a reader sees as characters, as `Intl.Segmenter` does. Making one of those
 * takes a third of Node's own start, so it is made for the first text that is not plain ASCII.
 * build.ts puts this class in the place of `Intl.Segmenter`, which effect/cli makes at each start.
 */

// By its own name: build.ts replaces every other mention of it.
const { Segmenter } = Intl

const PLAIN = /^[ -~]*$/

export class LazySegmenter {
  private readonly options: ConstructorParameters<typeof Segmenter>
  private segmenter: Intl.Segmenter | undefined

  constructor(...options: ConstructorParameters<typeof Segmenter>) {
    this.options = options
  }

  segment(text: string): Iterable<{ readonly segment: string }> {
    if (PLAIN.test(text)) return Array.from(text, (segment) => ({ segment }))
    this.segmenter ??= new Segmenter(...this.options)
    return this.segmenter.segment(text)
  }
}
