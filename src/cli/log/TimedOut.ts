/** The agency did not get its winners in the time that it was given. */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as SettingText from "../settings/SettingText.ts"
import type { Standing } from "./ClientProgress.ts"

/** What was acknowledged is not lost by it, and neither is it that the book is finished. */
export class TimedOut extends Data.TaggedError("TimedOut")<{
  readonly timeout: Duration.Duration
  readonly standing: Standing
}> {
  override get message(): string {
    const { acknowledged, interruption, isFinished, total } = this.standing
    const reason = interruption === undefined ? "" : `: ${interruption}`
    const stored = isFinished
      ? `the whole book (bets: ${total}) is stored and finished`
      : `${acknowledged} of ${total} bets are known to be stored`
    return (
      `no winners after ${SettingText.showDuration(this.timeout)}${reason}; ${stored}; ` +
      "the same command goes on from there"
    )
  }
}
