/** Goal: a batch always consists of canonical rows, and problems name the field and the reason. */

import { createHash } from "node:crypto"
import { it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../src/domain/Bet.ts"
import {
  BetBatch,
  BetBatchBuilder,
  BetBatchSchema,
  HEADER_ROOM
} from "../../src/domain/BetBatch.ts"
import { MAX_ROW_BYTES } from "../../src/domain/BetRow.ts"
import vectors from "../protocol/vectors.json" with { type: "json" }

const textOf = (batch: BetBatch): string => Buffer.from(batch.bytes).toString("utf8")

describe("BetBatch", () => {
  it("quotes only fields with a comma or a quote, and drops leading zeros", () => {
    const builder = new BetBatchBuilder(1)
    builder.addTexts(["Ana", "Perez", "00123", "1999-03-17", "0042"])
    builder.addTexts(["A, B", 'the "x"', "1", "2000-02-29", "0000"])
    builder.addTexts(["semi;colon", "\ufeffbom", "1", "2000-02-29", "7"])
    const batch = builder.build()
    expect(batch.count).toBe(3)
    expect(textOf(batch)).toBe(
      "Ana,Perez,00123,1999-03-17,42\n" +
        '"A, B","the ""x""",1,2000-02-29,0\n' +
        "semi;colon,\ufeffbom,1,2000-02-29,7\n"
    )
  })

  it("has room for names made only of quotes, and limits the buffer that it keeps", () => {
    const builder = new BetBatchBuilder(1)
    const quotes = '"'.repeat(100)
    builder.addTexts([quotes, quotes, "1234567890", "1999-03-17", "7574"])
    const row = `"${quotes}${quotes}","${quotes}${quotes}",1234567890,1999-03-17,7574\n`
    expect(textOf(builder.build())).toBe(row)
    expect(row.length).toBe(MAX_ROW_BYTES)
    const large = new BetBatchBuilder(2 * 1024 * 1024)
    large.clear()
    expect(large.bytes.buffer.byteLength).toBe(1024 * 1024)
  })

  it("has room for a header in front of its own rows only", () => {
    const builder = new BetBatchBuilder()
    for (const number of ["1", "2", "3"]) {
      builder.addTexts(["Ana", "Perez", "1", "1999-03-17", number])
    }
    const batch = builder.build()
    const text = textOf(batch)
    for (const one of [batch, batch.drop(1), batch.take(2), batch.drop(1).take(1)]) {
      for (const header of [0, 1, HEADER_ROOM, HEADER_ROOM + 1]) {
        const bytes = one.bytesAfter(header)
        expect(bytes.length).toBe(header + one.byteLength)
        bytes.fill(0xff, 0, header)
        expect(Buffer.from(bytes.subarray(header)).toString()).toBe(textOf(one))
        expect(textOf(batch)).toBe(text)
      }
    }
    expect(batch.bytesAfter(HEADER_ROOM).buffer).toBe(batch.bytes.buffer)
  })

  it("names the first invalid field and adds nothing", () => {
    const builder = new BetBatchBuilder()
    const problem = (texts: ReadonlyArray<string>) => builder.addTexts(texts)
    expect(problem(["Ana", "Perez", "1", "1999-02-31", "1"])).toEqual({
      field: "birthdate",
      message: 'expected a real date YYYY-MM-DD from 1900-01-01 to 9999-12-31, got "1999-02-31"'
    })
    expect(problem(["", "Perez", "1", "1999-02-01", "1"])?.field).toBe("first name")
    expect(problem(["Ana", "P\u0085", "1", "1999-02-01", "1"])?.field).toBe("last name")
    expect(problem(["Ana", "Perez", "12a", "1999-02-01", "1"])?.field).toBe("document")
    expect(problem(["Ana", "Perez", "1", "1999-02-01", "10000"])?.field).toBe("number")
    expect(builder.count).toBe(0)
    expect(builder.build().bytes.length).toBe(0)
  })

  it("has the SHA-256 of the test vector", () => {
    const book = vectors.find((vector) => vector.sha256 !== undefined)
    const batch = BetBatch.fromBets([
      new Bet({
        firstName: "Ana",
        lastName: "Pérez",
        document: "12345678",
        birthdate: "1999-03-17",
        number: 7574
      }),
      new Bet({
        firstName: "Tiago Nicolás",
        lastName: "Rivera",
        document: "34407251",
        birthdate: "2001-08-29",
        number: 1033
      })
    ])
    expect(createHash("sha256").update(batch.bytes).digest("hex")).toBe(book?.sha256)
  })

  it.effect.prop("yields the bets that it was made from", [Schema.Array(Bet)], ([bets]) =>
    Effect.sync(() => {
      const batch = BetBatch.fromBets(bets)
      expect(batch.count).toBe(bets.length)
      expect([...batch]).toEqual(bets)
    })
  )

  it.effect.prop(
    "drops bets from its start",
    [BetBatchSchema, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))],
    ([batch, bets]) =>
      Effect.sync(() => {
        const dropped = Math.min(bets, batch.count)
        expect([...batch.drop(dropped)]).toEqual([...batch].slice(dropped))
        expect(batch.drop(dropped).count).toBe(batch.count - dropped)
      })
  )
})
