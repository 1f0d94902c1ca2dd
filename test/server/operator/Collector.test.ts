/** Goal: a collector URL is read as OpenTelemetry defines it, and its password is not shown. */
import { Option, Redacted } from "effect"
import { describe, expect, it } from "vitest"
import { parseCollector } from "../../../src/server/operator/Collector.ts"

const authorizationOf = (text: string): string | undefined => {
  const { authorization } = parseCollector(text) ?? { authorization: Option.none() }
  return Option.getOrUndefined(Option.map(authorization, Redacted.value))
}

describe("the URL of a collector", () => {
  it.each([
    ["http://localhost:4318", "http://localhost:4318/v1/traces"],
    ["http://localhost:4318/", "http://localhost:4318/v1/traces"],
    ["HTTPS://Collector.Example", "https://collector.example/v1/traces"],
    ["http://[::1]:4318//", "http://[::1]:4318/v1/traces"],
    ["https://host/tenant/7/", "https://host/tenant/7/v1/traces"],
    ["http://user:s3cret@host:4318", "http://host:4318/v1/traces"]
  ])("%s", (text, url) => {
    expect(parseCollector(text)?.url).toBe(url)
  })

  it.each([
    "",
    "localhost:4318",
    "host",
    "grpc://host:4317",
    "http://",
    "http://host:99999",
    "http://host/?key=s3cret",
    "http://host/#traces",
    "http://%ff:x@host"
  ])("refuses %j", (text) => {
    expect(parseCollector(text)).toBeUndefined()
  })

  it("has a name and a password for basic authorization, percent-decoded", () => {
    const expected = `Basic ${Buffer.from("ana:p@ss:ñ").toString("base64")}`
    expect(authorizationOf("http://ana:p%40ss%3A%C3%B1@host")).toBe(expected)
    expect(authorizationOf("http://host")).toBeUndefined()
  })

  it("does not show its password", () => {
    expect(JSON.stringify(parseCollector("http://ana:s3cret@host"))).not.toMatch(/s3cret|czNjcmV0/)
  })
})
