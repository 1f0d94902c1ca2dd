/** Goal: the dialect is detected from the first bytes, as they arrive, and never too early. */
import { describe, expect, it } from "vitest"
import { detect } from "../../src/protocol/Dialect.ts"
import { beginsWithAlert, beginsWithHandshake } from "../../src/protocol/TlsRecord.ts"

const bytes = (...parts: ReadonlyArray<number | string>): Buffer =>
  Buffer.concat(parts.map((p) => (typeof p === "number" ? Buffer.from([p]) : Buffer.from(p))))

/** The result after each byte, before the stream ends. */
const stepByStep = (stream: Buffer): Array<string> =>
  Array.from(stream, (_, index) => detect(stream.subarray(0, index + 1), false))

/** The number of bytes after which the dialect is decided, and the dialect. */
const decided = (stream: Buffer) => {
  const steps = stepByStep(stream)
  const first = steps.findIndex((step) => step !== "undecided")
  return [first + 1, steps[first]]
}

describe("TLS", () => {
  it("is recognized from its first byte, and from its version if there are more", () => {
    const first = (...start: ReadonlyArray<number>) => {
      const record = Uint8Array.from(start)
      return [beginsWithHandshake(record), beginsWithAlert(record)]
    }
    expect([first(), first(0x16), first(0x16, 3, 1), first(0x16, 2)]).toEqual([
      [false, false],
      [true, false],
      [true, false],
      [false, false]
    ])
    expect([first(0x15), first(0x15, 3, 3), first(0x15, 4)]).toEqual([
      [false, true],
      [false, true],
      [false, false]
    ])
  })
})

describe("detect", () => {
  it("needs bytes", () => {
    expect(detect(bytes(), false)).toBe("undecided")
    expect(detect(bytes(), true)).toBe("unknown")
  })

  it.each([
    ["native", bytes(0xff, "LTRY", 13, 10, 1), [8, "native"]],
    ["almost native", bytes(0xff, "LTRX"), [5, "unknown"]],
    ["JSON", bytes(0, 0, 0, 20, '{"type'), [6, "json"]],
    ["JSON with white space", bytes(0, 0, 0, 20, "{ \n"), [6, "json"]],
    ["an empty object", bytes(0, 0, 0, 2, "{}"), [6, "json"]],
    ["a list", bytes(0, 0, 0, 20, "[1]"), [5, "unknown"]],
    ["binary", bytes(0, 20, "12;Ana"), [5, "binary"]],
    ["binary, ten digits", bytes(0, 20, "2147483647;"), [13, "binary"]],
    ["binary, eleven digits", bytes(0, 20, "21474836471;"), [13, "unknown"]],
    ["binary without a separator", bytes(0, 4, "12", 0, 0), [5, "binary"]],
    ["binary without content", bytes(0, 2, 0, 0, 0), [5, "unknown"]],
    ["a line", bytes("[CLIENT 1] Message N°1\n"), [24, "line"]],
    ["a line with CR", bytes("PING\r\n"), [6, "line"]],
    ["a CR within a line", bytes("PI\rNG\n"), [4, "unknown"]],
    ["a control character", bytes("PI", 7), [3, "unknown"]],
    ["a tab", bytes("PI\tG\n"), [5, "line"]],
    ["not UTF-8", bytes("PI", 0xff), [3, "unknown"]],
    ["a letter, a line ending, and more", bytes("A\nx"), [3, "unknown"]],
    ["HTTP, which is a line", bytes("GET / HTTP/1.1\r\n"), [16, "line"]],
    ["TLS", bytes(0x16, 3, 1, 2, 0), [3, "unknown"]]
  ])("%s", (_what, stream, expected) => {
    expect(decided(stream)).toEqual(expected)
  })

  it("checks for JSON before binary, because some JSON lengths look like binary content", () => {
    // The length 0x313b is "1;" in ASCII.
    const stream = bytes(0, 0, 0x31, 0x3b, '{"type_message"')
    expect(decided(stream)).toEqual([6, "json"])
    expect(decided(bytes(0, 0, 0x31, 0x3b, "Ana"))).toEqual([5, "unknown"])
    expect(decided(bytes(0, 9, "1;Ana"))).toEqual([5, "binary"])
  })

  it("recognizes a line of one letter only at the end of the stream", () => {
    expect(decided(bytes("A\n"))[1]).toBeUndefined()
    expect(detect(bytes("A\n"), true)).toBe("line")
    expect(detect(bytes("A"), true)).toBe("line")
    expect(detect(bytes("PING"), true)).toBe("line")
    expect(detect(bytes("AB\n"), false)).toBe("line")
  })

  it("waits for the rest of a partial character", () => {
    const stream = bytes("Añ€😀\n")
    expect(
      stepByStep(stream)
        .slice(0, -1)
        .every((step) => step === "undecided")
    ).toBe(true)
    expect(detect(stream, false)).toBe("line")
    expect(detect(stream.subarray(0, 2), true)).toBe("unknown")
  })

  it("accepts a line of 1 KiB, including its line ending, and refuses a longer one", () => {
    expect(detect(bytes("x".repeat(1023), "\n"), false)).toBe("line")
    expect(detect(bytes("x".repeat(1024)), false)).toBe("unknown")
  })

  it("treats a line that looks like binary as binary", () => {
    expect(detect(bytes("ab12;cd\n"), false)).toBe("binary")
  })
})
