/** Suites that need a program which this machine may not have. */
import { describe } from "vitest"

/** A suite of tests; if there is a reason to skip it, it is skipped and says so. */
export const describeUnless = (
  reason: string | undefined,
  name: string,
  body: () => void
): void => {
  if (reason === undefined) {
    describe(name, body)
    return
  }
  console.warn(`${name}: skipped: ${reason}`)
  describe.skip(`${name} (skipped: ${reason})`, body)
}
