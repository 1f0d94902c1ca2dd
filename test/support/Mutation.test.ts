/** Goal: mutants match their names, every mutation occurs, and a seed reproduces the mutants. */
import { describe, expect, it } from "vitest"
import { Dice, MUTATIONS, mutate, numbersIn } from "./Mutation.ts"
import { bytesOf, forAgency, SESSIONS } from "./peers/Sessions.ts"

const ROUNDS = 2_000
const named = (name: string) => SESSIONS.find((session) => session.name === name)!

const mutantsOf = (seed: number) => {
  const dice = new Dice(seed)
  return Array.from({ length: ROUNDS }, () => {
    const session = dice.pick(SESSIONS)
    return { session, ...mutate(dice, session, dice.pick(SESSIONS)) }
  })
}

describe("mutants", () => {
  it("are the same for the same seed and different for another seed", () => {
    const hex = (seed: number) => mutantsOf(seed).map(({ bytes }) => bytes.toString("hex"))
    expect(hex(7)).toEqual(hex(7))
    expect(hex(7)).not.toEqual(hex(8))
  })

  it("use every mutation, and nearly all differ from the saved session", () => {
    const mutants = mutantsOf(1)
    expect(new Set(mutants.flatMap(({ how }) => how)).size).toBe(Object.keys(MUTATIONS).length)
    const same = mutants.filter(({ bytes, session }) => bytes.equals(bytesOf(session)))
    expect(same.length).toBeLessThan(ROUNDS / 10)
  })

  it("do not change the saved sessions", () => {
    const before = SESSIONS.map((session) => bytesOf(session).toString("hex"))
    mutantsOf(2)
    expect(SESSIONS.map((session) => bytesOf(session).toString("hex"))).toEqual(before)
  })
})

describe("numbers", () => {
  it("in a message are its length, its trailer, and the position and count of bets", () => {
    const at = (name: string, index: number) => {
      const { dialect, messages } = named(name)
      const bytes = messages[index]!
      return numbersIn({ dialect, bytes }).map((field) => bytes.readUIntBE(field.at, field.size))
    }
    const length = (name: string, index: number) => named(name).messages[index]!.length
    expect(at("binary-packets", 0)).toEqual([length("binary-packets", 0) - 2, 1])
    expect(at("json-chunks", 0)).toEqual([length("json-chunks", 0) - 4])
    expect(at("native-book", 0)).toEqual([])
    expect(at("native-book", 1)).toEqual([length("native-book", 1) - 4])
    expect(at("native-book", 3)).toEqual([length("native-book", 3) - 4, 2, 3])
    expect(at("line-ping", 0)).toEqual([])
  })

  it("are set to edge cases, to the limits and to the limits plus one", () => {
    const { dialect, messages } = named("native-book")
    const parts = [{ dialect, bytes: messages[3]! }]
    const dice = new Dice(3)
    const seen = new Set<number>()
    for (let round = 0; round < ROUNDS; round++) {
      seen.add(MUTATIONS["a number set"](dice, parts)[0]!.bytes.readUInt32BE())
    }
    const mebi = 1024 * 1024
    const edges = [0, 1, 1024, 1025, mebi, mebi + 1, 8 * mebi, 8 * mebi + 1]
    for (const edge of [...edges, 2 ** 31, 2 ** 32 - 1]) expect(seen, `${edge}`).toContain(edge)
  })
})

describe("a mutation in a message", () => {
  it.each(["a run inserted", "a run deleted", "a run repeated"] as const)(
    "(%s) corrects the length field half of the time",
    (name) => {
      const { dialect, messages } = named("json-chunks")
      const parts = [{ dialect, bytes: messages[0]! }]
      const dice = new Dice(4)
      let corrected = 0
      for (let round = 0; round < ROUNDS; round++) {
        const { bytes } = MUTATIONS[name](dice, parts)[0]!
        if (bytes.length >= 4 && bytes.readUInt32BE() === bytes.length - 4) corrected++
      }
      expect(corrected).toBeGreaterThan(0.4 * ROUNDS)
      expect(corrected).toBeLessThan(0.6 * ROUNDS)
    }
  )
})

describe("saved sessions", () => {
  it.each(SESSIONS)("$name: its agency can be replaced", (session) => {
    if (session.agency === undefined) return
    const other = forAgency(session, 8642)
    for (const [index, message] of session.messages.entries()) {
      const places = message.toString("latin1").split(String(session.agency)).length - 1
      expect(places).toBeLessThanOrEqual(1)
      expect(other.messages[index]!.length).toBe(message.length)
    }
    expect(bytesOf(other).includes(String(session.agency))).toBe(false)
    expect(bytesOf(other).includes("8642")).toBe(true)
    expect(forAgency(other, session.agency)).toEqual(session)
  })
})
