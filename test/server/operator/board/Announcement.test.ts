/**
 * Goal: a screen reader is told of a new phase and of a lost connection, and of nothing else.
 * Method: each change of the two.
 */
import { expect, it } from "vitest"
import { announcement } from "../../../../src/server/operator/board/Announcement.ts"

const connecting = { link: "connecting", phase: "connecting…" } as const
const live = { link: "live", phase: "taking bets" } as const
const lost = { link: "reconnecting", phase: "taking bets" } as const
const drawn = { link: "live", phase: "drawn" } as const

it("tells of phases and of the connection", () => {
  expect(announcement(connecting, live)).toBe("The draw: taking bets.")
  expect(announcement(live, live)).toBeUndefined()
  expect(announcement(live, drawn)).toBe("The draw: drawn.")
  expect(announcement(live, lost)).toBe("Connection lost, reconnecting.")
  expect(announcement(lost, lost)).toBeUndefined()
  expect(announcement(lost, live)).toBe("Connected again.")
  expect(announcement(lost, drawn)).toBe("Connected again. The draw: drawn.")
})
