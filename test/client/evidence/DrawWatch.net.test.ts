/**
 * Goal: a client with the operator's key goes through an honest sealed draw, and names each promise
 * that a server breaks. Method: a scripted server on a real socket that signs what it says and
 * lies about one thing at a time; the client's clock shows a day of 2023.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, expect } from "vitest"
import * as NativeConversation from "../../../src/client/conversation/NativeConversation.ts"
import { bookOf, keepLog, recordProgress } from "../../support/clientBooks.ts"
import * as Agency from "../../support/peers/AgencyEnd.ts"
import * as ScriptedServer from "../../support/peers/ScriptedServer.ts"
import * as SealedClient from "../../support/peers/SealedClient.ts"
import * as Sealed from "../../support/peers/SealedServer.ts"

describe("an honest server", () => {
  for (const [rule, honest, terms] of [
    ["at a round", Sealed.AT_ROUND, "round: 1000 | round_at: 2023-08-23T15:59:24Z"],
    ["after a delay", Sealed.DELAYED, "round: 1000 | round_at: 2023-08-23T15:59:24Z"],
    ["fixed", Sealed.FIXED, "source: fixed/6286"],
    ["announced", Sealed.ANNOUNCED, "source: announced"]
  ] as const) {
    it.live(`is believed, and the root of its seal logged: ${rule}`, () =>
      Effect.gen(function* () {
        const said = Sealed.honestly(honest)
        const { accept, documents, seals } = yield* SealedClient.begin()
        yield* Sealed.serve(yield* accept, Sealed.ROWS, said)
        expect(yield* documents).toEqual(["10", "12", "10"])
        const root = Buffer.from(Sealed.signedSeal(honest).root).toString("base64")
        expect(seals()).toEqual([
          `action: seal_received | result: success | agencia: 3 | root: ${root} | ${terms}`
        ])
      })
    )
  }

  it.live("may have no winners for an agency", () =>
    Effect.gen(function* () {
      const honest: Sealed.Honest = { ...Sealed.ANNOUNCED, announced: 28 }
      const { accept, documents } = yield* SealedClient.begin()
      yield* Sealed.serve(yield* accept, Sealed.ROWS, Sealed.honestly(honest))
      expect(yield* documents).toEqual([])
    })
  )

  it.live("is asked again for a receipt that was lost, and shows its seal again", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.AT_ROUND)
      const { accept, documents, seals, setTime } = yield* SealedClient.begin()
      const first = yield* accept
      yield* Agency.hello(first)
      yield* Agency.say(first, Agency.welcome(Sealed.ROWS))
      yield* Agency.control(first)
      yield* first.reset
      const second = yield* accept
      expect(yield* Sealed.takeFinished(second, Sealed.ROWS, said)).toMatchObject({
        _tag: "Finish"
      })
      yield* Sealed.takeQuestion(second)
      yield* Sealed.showSeal(second, said)
      yield* second.reset
      const third = yield* accept
      yield* Agency.hello(third)
      yield* Agency.say(third, Agency.welcome(Sealed.ROWS, { finished: true }))
      // It has its receipt.
      expect(yield* Agency.control(third)).toEqual({ _tag: "AwaitWinners" })
      yield* setTime(Sealed.AFTER_ROUND)
      yield* Sealed.showSeal(third, said)
      yield* Sealed.tellWinners(third, said)
      expect(yield* documents).toEqual(["10", "12", "10"])
      expect(seals()).toHaveLength(1)
    })
  )

  it.live("cannot prove to a late client that the seal came first, which warns", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.AT_ROUND)
      const { accept, documents, seals } = yield* SealedClient.begin({}, Sealed.AFTER_ROUND)
      const agency = yield* accept
      yield* Sealed.takeFinished(agency, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(agency)
      yield* Sealed.showSeal(agency, said)
      yield* Sealed.tellWinners(agency, said)
      expect(yield* documents).toEqual(["10", "12", "10"])
      const warning = "warning: unproven: seen only after the round"
      expect(seals()).toEqual([expect.stringMatching(`^WARNING action: .* \\| ${warning}$`)])
    })
  )

  it.live("may be cut off over the round: the next connection is a late one", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.AT_ROUND)
      const { accept, documents, seals, setTime } = yield* SealedClient.begin()
      const first = yield* accept
      yield* Sealed.takeBook(first, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(first)
      yield* first.reset
      yield* setTime(Sealed.AFTER_ROUND)
      const second = yield* accept
      yield* Agency.hello(second)
      yield* Agency.say(second, Agency.welcome(Sealed.ROWS, { finished: true }))
      yield* Sealed.takeQuestion(second)
      yield* Sealed.showSeal(second, said)
      yield* Sealed.tellWinners(second, said)
      expect(yield* documents).toEqual(["10", "12", "10"])
      expect(seals()[0]).toMatch(/^WARNING .*unproven: seen only after the round$/)
    })
  )
})

const OTHER_ROWS = Sealed.rowsOf([["10", Sealed.NUMBER]])
const OTHER_KEY = Sealed.makeKey()

type Change = (said: Sealed.Said) => Partial<Sealed.Said>

/** Each lie of a server whose draw is otherwise that of round 1000, and what the client says. */
const LIES: Readonly<Record<string, readonly [Change, RegExp]>> = {
  "no receipt": [
    () => ({ receipt: undefined }),
    /there is no receipt for this book: is the draw sealed\?$/
  ],
  "a receipt for another book": [
    () => ({ receipt: Sealed.receiptOf({ ...Sealed.AT_ROUND, rows: OTHER_ROWS }) }),
    /the receipt is for another book: it says 1 bets, SHA-256 \w{64}; this book has 6 bets, .*/
  ],
  "a receipt for as many other bets": [
    () => ({ receipt: Sealed.receiptOf(Sealed.AT_ROUND, { sha256: "0".repeat(64) }) }),
    /the receipt is for another book: it says 6 bets, SHA-256 0{64}; .*/
  ],
  "a receipt of another key": [
    () => ({ receipt: Sealed.receiptOf({ ...Sealed.AT_ROUND, key: OTHER_KEY }) }),
    /the receipt is not valid: .*/
  ],
  "a receipt of another draw": [
    () => ({ receipt: Sealed.receiptOf({ ...Sealed.AT_ROUND, draw: "sunday" }) }),
    /the receipt is for the draw sunday, not for default$/
  ],
  "a receipt of another agency": [
    () => ({ receipt: Sealed.receiptOf(Sealed.AT_ROUND, { agency: 4 }) }),
    /the receipt is for agency 4$/
  ],
  "winners without a seal": [() => ({ seal: undefined }), /the winners came without the seal$/],
  "a seal of another key": [
    () => ({ seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, key: OTHER_KEY }).proofs }),
    /the proof of the seal's first entry is not valid: .*/
  ],
  "a seal of another draw": [
    () => ({ seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, draw: "sunday" }).proofs }),
    /the proof of the seal's first entry is not valid: .*/
  ],
  "a seal without its book": [
    () => {
      const books = [Sealed.sealedBook(1, Sealed.ROWS), { agency: Sealed.AGENCY }]
      const { prove } = Sealed.signedSeal({ ...Sealed.AT_ROUND, books })
      return { seal: [prove(0), prove(2)] }
    },
    /the seal does not have this book: its entry is "excluded 3"; agency 3 has 6 bets, .*/
  ],
  "a seal with the book of another agency": [
    () => {
      const { prove } = Sealed.signedSeal(Sealed.AT_ROUND)
      return { seal: [prove(0), prove(1)] }
    },
    /the seal does not have this book: its entry is "book 1 6 .*/
  ],
  "a seal with another digest": [
    () => {
      const book = { ...Sealed.sealedBook(Sealed.AGENCY, Sealed.ROWS), sha256: "0".repeat(64) }
      return { seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, books: [book] }).proofs }
    },
    /the seal does not have this book: its entry is "book 3 6 \d+ 0{64} .*/
  ],
  "a seal with another length": [
    () => {
      const book = { ...Sealed.sealedBook(Sealed.AGENCY, Sealed.ROWS), bytes: 7 }
      return { seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, books: [book] }).proofs }
    },
    /the seal does not have this book: its entry is "book 3 6 7 .*/
  ],
  "a seal with more bets": [
    () => {
      const book = Sealed.sealedBook(Sealed.AGENCY, Sealed.ROWS + OTHER_ROWS)
      return { seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, books: [book] }).proofs }
    },
    /the seal does not have this book: its entry is "book 3 7 .*/
  ],
  "proofs of two seals": [
    () => {
      const books = [Sealed.sealedBook(Sealed.AGENCY, Sealed.ROWS)]
      const other = Sealed.signedSeal({ ...Sealed.AT_ROUND, books })
      return { seal: [Sealed.signedSeal(Sealed.AT_ROUND).prove(0), other.prove(1)] }
    },
    /two seals of one draw: its two proofs have the roots \S{44} and \S{44}$/
  ],
  "another first entry": [
    () => {
      const { prove } = Sealed.signedSeal(Sealed.AT_ROUND)
      return { seal: [prove(1), prove(2)] }
    },
    /the seal's first entry is .*/
  ],
  "a first entry at the end": [
    () => ({ seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, isTurned: true }).proofs }),
    /the seal's first entry is entry 3 of the draw default, expected entry 0 of .*/
  ],
  "a first entry of another draw": [
    () => ({ seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, entryDraw: "sunday" }).proofs }),
    /the seal's first entry is entry 0 of the draw sunday, expected entry 0 of .*/
  ],
  "a source that does not follow the rule": [
    () => ({
      seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, source: { _tag: "announced" } }).proofs
    }),
    /a receipt promised the number from drand\/52db\w+\/1000; the seal takes it from announced$/
  ],
  "a later round than promised": [
    () => {
      const source = { _tag: "drand", round: 1001 } as const
      return { seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, source }).proofs }
    },
    /a receipt promised the number from drand\/\w+\/1000; the seal takes it from drand\/\w+\/1001$/
  ],
  "a seal made after its round": [
    () => {
      const sealedAt = Sealed.ROUND_1000_SECONDS
      return { seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, sealedAt }).proofs }
    },
    /by its own time the seal was made after drand round 1000 was published$/
  ],
  "winners without a result": [
    () => ({ result: undefined }),
    /the winners came without a signed result$/
  ],
  "a result of another draw": [
    (said) => ({ result: Sealed.resultOf(Sealed.AT_ROUND, said, { draw: "sunday" }) }),
    /the result is of the draw sunday, not of default$/
  ],
  "a result with another root": [
    (said) => ({ result: Sealed.resultOf(Sealed.AT_ROUND, said, { root: new Uint8Array(32) }) }),
    /the result is of a seal with the root A{43}=, not \S{44}$/
  ],
  "a result with another number": [
    (said) => ({ result: Sealed.resultOf(Sealed.AT_ROUND, said, { number: 7 }) }),
    /the result says the number 7, but the winners are those of 6286$/
  ],
  "a number that is not the round's": [
    (said) => ({ number: 7, result: Sealed.resultOf(Sealed.AT_ROUND, said, { number: 7 }) }),
    /the number does not follow: drand\/\w+\/1000 gives the number 6286, not 7$/
  ],
  "the number of another round": [
    (said) => ({
      number: 7901,
      result: Sealed.resultOf(Sealed.AT_ROUND, said, { number: 7901, beacon: Sealed.ROUNDS[1001] })
    }),
    /the result has drand round 1001; the seal says drand\/\w+\/1000$/
  ],
  "a signature of another round": [
    (said) => {
      const beacon = { ...Sealed.ROUNDS[1001], round: 1000 }
      return {
        number: 7901,
        result: Sealed.resultOf(Sealed.AT_ROUND, said, { number: 7901, beacon })
      }
    },
    /the result's signature of drand round 1000 is forged$/
  ],
  "a result without a round": [
    (said) => ({ result: Sealed.resultOf(Sealed.AT_ROUND, said, { beacon: undefined }) }),
    /the result has no round; the seal says drand\/\w+\/1000$/
  ],
  "a winner left out": [
    ({ documents }) => ({ documents: documents.toSpliced(1, 1) }),
    /the winner 12 is left out: this book has its bet on 6286$/
  ],
  "a repeated winner left out": [
    ({ documents }) => ({ documents: documents.slice(0, 2) }),
    /the winner 10 is left out: .*/
  ],
  "the first of two bets of a winner left out": [
    ({ documents }) => ({ documents: documents.slice(1) }),
    /the winner 10 is left out: .*/
  ],
  "a winner exchanged": [
    ({ documents }) => ({ documents: documents.toSpliced(1, 1, "99") }),
    /the winner 12 is left out: .*/
  ],
  "a winner added": [
    ({ documents }) => ({ documents: [...documents, "99"] }),
    /the winner 99 is added: this book has no such bet on 6286$/
  ],
  "a winner of a bet on another number added": [
    ({ documents }) => ({ documents: ["11", ...documents] }),
    /the winner 11 is added: .*/
  ],
  "a winner told twice": [
    ({ documents }) => ({ documents: [...documents, "12"] }),
    /the winner 12 is added: .*/
  ],
  "winners in another order": [
    ({ documents }) => ({ documents: documents.toSpliced(0, 2, "12", "10") }),
    /the winners are not in the order of the book: 12 came before 10$/
  ],
  "a wrong count of winners": [
    (said) => {
      const winners = [{ agency: Sealed.AGENCY, count: 4 }]
      return { result: Sealed.resultOf(Sealed.AT_ROUND, said, { winners }) }
    },
    /the result counts 4 winners of agency 3, its book has 3$/
  ],
  "no count of winners": [
    (said) => ({
      result: Sealed.resultOf(Sealed.AT_ROUND, said, { winners: [{ agency: 1, count: 3 }] })
    }),
    /the result counts no winners of agency 3, its book has 3$/
  ]
}

describe("a server that lies", () => {
  for (const [lie, [change, expected]] of Object.entries(LIES)) {
    it.live(`is caught: ${lie}`, () =>
      Effect.gen(function* () {
        const said = Sealed.honestly(Sealed.AT_ROUND)
        const { accept, fails } = yield* SealedClient.begin()
        yield* Effect.forkChild(
          Effect.flatMap(accept, (agency) =>
            Sealed.serve(agency, Sealed.ROWS, { ...said, ...change(said) })
          )
        )
        const { _tag, message } = yield* fails
        expect(_tag).toBe("BrokenPromise")
        expect(message).toMatch(/^agency 3: broken promise: .*$/)
        expect(message.slice("agency 3: broken promise: ".length)).toMatch(
          new RegExp(`^(?:${expected.source})$`)
        )
      })
    )
  }

  it.live("is caught: a fixed number that is not the one of the seal", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.FIXED)
      const { accept, fails } = yield* SealedClient.begin()
      const result = Sealed.resultOf(Sealed.FIXED, said, { number: 7 })
      yield* Effect.forkChild(
        Effect.flatMap(accept, (agency) =>
          Sealed.serve(agency, Sealed.ROWS, { ...said, number: 7, result })
        )
      )
      expect((yield* fails).message).toBe(
        "agency 3: broken promise: the number does not follow: fixed/6286 gives the number 6286, " +
          "not 7"
      )
    })
  )

  it.live("is caught: a round in the result of an announced number", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.ANNOUNCED)
      const { accept, fails } = yield* SealedClient.begin()
      const beacon = Sealed.ROUNDS[1000]
      const result = Sealed.resultOf(Sealed.ANNOUNCED, said, { beacon })
      yield* Sealed.serve(yield* accept, Sealed.ROWS, { ...said, result })
      expect((yield* fails).message).toBe(
        "agency 3: broken promise: the result has drand round 1000; the seal says announced"
      )
    })
  )

  it.live("is caught: another number after a connection that was lost between two messages", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.ANNOUNCED)
      const { accept, fails } = yield* SealedClient.begin()
      const first = yield* accept
      yield* Sealed.takeBook(first, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(first)
      yield* Sealed.showSeal(first, said)
      const { documents, number, result } = said
      yield* Agency.say(first, { ...Agency.winners(documents.slice(1), true), number, result })
      yield* first.close
      const second = yield* accept
      yield* Agency.hello(second)
      yield* Agency.say(second, Agency.welcome(Sealed.ROWS, { finished: true }))
      yield* Sealed.takeQuestion(second)
      yield* Sealed.showSeal(second, said)
      const other = Sealed.honestly({ ...Sealed.ANNOUNCED, announced: 7 })
      yield* Sealed.tellWinners(second, other)
      expect((yield* fails).message).toBe(
        "agency 3: broken promise: two results of one draw, which prove a fraud: the number is " +
          "7, and was 6286 before"
      )
    })
  )

  it.live("is caught: a seal that comes after its round to a client that waited", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.AT_ROUND)
      const { accept, fails, setTime } = yield* SealedClient.begin()
      const agency = yield* accept
      yield* Sealed.takeBook(agency, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(agency)
      yield* setTime(Sealed.ROUND_1000_SECONDS)
      yield* Sealed.showSeal(agency, said)
      expect((yield* fails).message).toBe(
        "agency 3: broken promise: the seal came at 2023-08-23T15:59:24Z, but drand round 1000 " +
          "was published at 2023-08-23T15:59:24Z, while this client was connected and waiting"
      )
    })
  )

  it.live(
    "is caught: a seal after its round to a client that waited on its second connection",
    () =>
      Effect.gen(function* () {
        const said = Sealed.honestly(Sealed.AT_ROUND)
        const { accept, fails, setTime, waits } = yield* SealedClient.begin()
        const first = yield* accept
        yield* Sealed.takeBook(first, Sealed.ROWS, said)
        yield* first.reset
        const second = yield* accept
        yield* Agency.hello(second)
        yield* Agency.say(second, Agency.welcome(Sealed.ROWS, { finished: true }))
        yield* Sealed.takeQuestion(second)
        yield* waits
        yield* setTime(Sealed.AFTER_ROUND)
        yield* Sealed.showSeal(second, said)
        expect((yield* fails).message).toMatch(/while this client was connected and waiting$/)
      })
  )

  it.live("is caught: a round in the past", () =>
    Effect.gen(function* () {
      const { accept, fails } = yield* SealedClient.begin({}, Sealed.AFTER_ROUND)
      yield* Effect.forkChild(
        Effect.flatMap(accept, (agency) =>
          Sealed.serve(agency, Sealed.ROWS, Sealed.honestly(Sealed.AT_ROUND))
        )
      )
      expect((yield* fails).message).toBe(
        "agency 3: broken promise: drand round 1000 was published at 2023-08-23T15:59:24Z, " +
          "before this book was finished"
      )
    })
  )

  it.live("is caught: another seal after a lost connection", () =>
    Effect.gen(function* () {
      const said = Sealed.honestly(Sealed.AT_ROUND)
      const { accept, fails } = yield* SealedClient.begin()
      const first = yield* accept
      yield* Sealed.takeBook(first, Sealed.ROWS, said)
      yield* Sealed.takeQuestion(first)
      yield* Sealed.showSeal(first, said)
      yield* first.reset
      const second = yield* accept
      yield* Agency.hello(second)
      yield* Agency.say(second, Agency.welcome(Sealed.ROWS, { finished: true }))
      yield* Sealed.takeQuestion(second)
      const books = [Sealed.sealedBook(Sealed.AGENCY, Sealed.ROWS)]
      yield* Sealed.showSeal(second, {
        seal: Sealed.signedSeal({ ...Sealed.AT_ROUND, books }).proofs
      })
      expect((yield* fails).message).toMatch(
        /^agency 3: broken promise: two seals of one draw, .*: the root is \S{44}, and was \S{44} b/
      )
    })
  )
})

describe("a client without the key", () => {
  it.live("ignores receipt, seal and result", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.listen()
      const address = { host: "127.0.0.1", port: server.port }
      const log = keepLog()
      const fiber = yield* NativeConversation.make(Sealed.AGENCY, Sealed.DRAW)
        .hold(bookOf([Sealed.ROWS]), { server: address, winnersServer: address }, recordProgress())
        .pipe(Effect.provide([log.layer, NodeFileSystem.layer]), Effect.forkChild)
      const lies = { receipt: "no", seal: ["no", "no"], result: "no", number: 1, documents: ["9"] }
      yield* Sealed.serve(yield* server.accept, Sealed.ROWS, lies)
      expect(yield* Fiber.join(fiber)).toEqual(["9"])
      expect(log.lines.join()).not.toContain("seal")
    })
  )
})
