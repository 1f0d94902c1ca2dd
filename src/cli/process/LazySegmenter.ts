/**
 * Splits text into user-perceived characters, as `Intl.Segmenter` does. Constructing one takes a
 * third of Node's startup time, so this class waits for the first text that is not plain ASCII.
 * effect/cli constructs one at each startup; build.ts replaces that with this class.
 */

// Destructured because build.ts replaces the text `Intl.Segmenter`.
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
