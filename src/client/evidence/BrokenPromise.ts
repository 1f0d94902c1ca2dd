import { Data } from "effect"
import type { Agency } from "../../domain/Agency.ts"

/** The operator of a sealed draw broke a promise to an agency, or did not prove that it kept it. */
export class BrokenPromise extends Data.TaggedError("BrokenPromise")<{
  readonly agency: Agency
  readonly what: string
}> {
  override get message(): string {
    return `agency ${this.agency}: broken promise: ${this.what}`
  }
}
