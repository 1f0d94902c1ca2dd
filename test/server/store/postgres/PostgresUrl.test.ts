/**
 * Goal: a PostgreSQL URL is read as libpq reads it, or refused if it is ambiguous, and its password
 * is never shown. Method: examples, and generated names and passwords. Every password contains a
 * mark that must not appear in any output.
 */
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Redacted, Result, Schema } from "effect"
import * as PostgresStore from "../../../../src/server/store/postgres/PostgresStore.ts"
import {
  hostWithoutTls,
  parsePostgresUrl,
  requiresTls,
  showPostgresUrl
} from "../../../../src/server/store/postgres/PostgresUrl.ts"

const MARK = "hunter2"
const EXPECTED = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"
const SPECIAL = `${EXPECTED}, with special characters percent-encoded (@ as %40)`
const PARAMETERS =
  `${EXPECTED}, with no parameters except host, port, user, password, dbname, application_name, ` +
  "options, connect_timeout, sslmode"

/** Any text without the mark that can be percent-encoded. */
const Text = Schema.String.pipe(
  Schema.check(Schema.makeFilter((text: string) => text.isWellFormed() && !text.includes(MARK)))
)

/** Text of characters with a special meaning in URLs. */
const Special = Schema.Array(
  Schema.Literals([..."/@?#:&=%+ []\\;,'\"\t\n1x", "%40", "%2F", "//", "user=", "é"])
).pipe(Schema.check(Schema.isMaxLength(6)))

const readable = (text: string): Redacted.Redacted => Result.getOrThrow(parsePostgresUrl(text))

describe("a PostgreSQL URL", () => {
  it.each([
    ["postgres://bob:hunter2@db.example/lottery", "postgres://bob@db.example/lottery"],
    ["postgresql://bob:hunter2@db.example/lottery", "postgres://bob@db.example/lottery"],
    ["postgres://bob:hunter2@127.0.0.1:5433/lottery", "postgres://bob@127.0.0.1:5433/lottery"],
    ["postgres://bob:hunter2@[::1]:5433/lottery", "postgres://bob@[::1]:5433/lottery"],
    ["postgres://bob@db.example", "postgres://bob@db.example"],
    ["postgres://db.example/", "postgres://db.example"],
    ["postgres://", "postgres://"],
    ["postgres://b%40b:h%40hunter2%2F@db.example/l%2Fy", "postgres://b%40b@db.example/l%2Fy"],
    ["postgres://:hunter2@db.example/lottery", "postgres://db.example/lottery"],
    ["postgres://h/db?user=bob%0Aaction:%20sorteo", "postgres://bob%0Aaction:%20sorteo@h/db"],
    [
      "postgres:///lottery?host=/run/postgresql&user=bob&password=hunter2",
      "postgres://bob@/run/postgresql/lottery"
    ],
    [
      "postgres://db.example?host=other.example&port=5433&user=bob&password=hunter2&dbname=lottery",
      "postgres://bob@other.example:5433/lottery"
    ],
    [
      "postgres://bob:hunter2@db.example/lottery?sslmode=require&connect_timeout=3" +
        "&application_name=hunter2&options=-csearch_path%3Dhunter2",
      "postgres://bob@db.example/lottery"
    ]
  ])("%s is shown without its password and parameters", (text, shown) => {
    const url = readable(text)
    expect(Redacted.value(url)).toBe(text)
    expect(showPostgresUrl(url)).toBe(shown)
    expect(`${url} ${JSON.stringify(url)} ${inspect(url)}`).not.toContain(MARK)
  })

  it.each([
    ["postgres://", undefined],
    ["postgres:///db?host=/run/postgresql", undefined],
    ["postgres://%2Frun%2Fpostgresql/db", undefined],
    ["postgres://localhost/db", undefined],
    ["postgres://127.8.8.8/db?sslmode=disable", undefined],
    ["postgres://[::1]:5433/db", undefined],
    ["postgres://db.example/db?host=localhost", undefined],
    ["postgres://localhost/db?host=localhost&host=db.example", "db.example"],
    ["postgres://bob:hunter2@db.example/db", "db.example"],
    ["postgres://[2001:db8::1]/db", "2001:db8::1"],
    ["postgres://localhost.example/db", "localhost.example"],
    ["postgres://db.example/db?sslmode=disable", "db.example"],
    ["postgres://db.example/db?sslmode=allow", "db.example"],
    ["postgres://db.example/db?sslmode=prefer", "db.example"],
    ["postgres://db.example/db?sslmode=require&sslmode=disable", "db.example"]
  ])("%s may connect to another machine without TLS: %s", (text, host) => {
    expect(hostWithoutTls(readable(text))).toBe(host)
    expect(requiresTls(readable(text))).toBe(false)
  })

  it.each(["require", "verify-ca", "verify-full"])("sslmode=%s requires TLS", (mode) => {
    const url = readable(`postgres://db.example/db?sslmode=${mode}`)
    expect(hostWithoutTls(url)).toBeUndefined()
    expect(requiresTls(url)).toBe(true)
  })

  it.each([
    ["postgres:hunter2", EXPECTED],
    ["postgres:/bob:hunter2@host/db", EXPECTED],
    ["Postgres://bob:hunter2@host/db", EXPECTED],
    ["mysql://bob:hunter2@host/db", EXPECTED],
    [" postgres://bob:hunter2@host/db", EXPECTED],
    ["postgres://bob:hunter2@/db", EXPECTED],
    ["postgres://bob:hunter2@host:port/db", EXPECTED],
    ["postgres://bob:hunter2@host:99999/db", EXPECTED],
    ["postgres://bob:hunter2@ho st/db", EXPECTED],
    ["postgres://bob:h/hunter2@host/db", EXPECTED],
    ["postgres://bob:1/hunter2@host/db", SPECIAL],
    ["postgres://bob:1?hunter2@host/db", SPECIAL],
    ["postgres://bob:1#hunter2@host/db", SPECIAL],
    ["postgres://bob:p@hunter2@host/db", SPECIAL],
    ["postgres://bob@host/db/hunter2", SPECIAL],
    ["postgres://bob@host/db#hunter2", SPECIAL],
    ["postgres://host/db?password=hunter2&hunter2=hunter2", PARAMETERS],
    ["postgres://host/db?Password=hunter2", PARAMETERS],
    ["postgres://host/db?sslrootcert=hunter2", PARAMETERS],
    ["postgres://host/db?hunter2", PARAMETERS]
  ])("%s is refused with a message that shows no part of it", (text, problem) => {
    expect(parsePostgresUrl(text)).toEqual(Result.fail(problem))
  })

  it.live.each([
    ["postgres://bob:%zzhunter2@host/db", "Invalid percent-encoding in URL password"],
    ["postgres://bob:hunter2@host/db?sslmode=sometimes", 'sslmode in URL: "sometimes"'],
    ["postgres://host:1/db?password=hunter2&port=0", 'Invalid port in URL port parameter: "0"']
  ] as const)("%s cannot be opened, and the error does not show the password", ([text, reason]) =>
    Effect.gen(function* () {
      const url = readable(text)
      const options = { url, drawId: "default" }
      const error = yield* Effect.flip(Effect.scoped(PostgresStore.make(options)))
      expect(error._tag).toBe("StoreOpenError")
      expect(error.message).toContain(reason)
      expect(`${error} ${JSON.stringify(error)} ${inspect(error)}`).not.toContain(MARK)
    })
  )

  it.effect.prop(
    "is shown without the password, whatever and wherever it is",
    [Text, Text, Text, Schema.Boolean, Schema.Boolean],
    ([user, before, after, isParameter, hasUserParameter]) =>
      Effect.sync(() => {
        const password = encodeURIComponent(`${before}${MARK}${after}`)
        const name = encodeURIComponent(user)
        const text = isParameter
          ? `postgres://host:5433/db?${hasUserParameter ? `user=${name}&` : ""}password=${password}`
          : `postgres://${name}:${password}@host:5433/db`
        const url = readable(text)
        expect(Redacted.value(url)).toBe(text)
        const shown = showPostgresUrl(url)
        expect(shown).not.toContain(MARK)
        expect(shown.endsWith("host:5433/db")).toBe(true)
        expect(`${url} ${JSON.stringify({ url })} ${inspect({ url })}`).not.toContain(MARK)
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "never shows an unencoded password",
    [Special, Special],
    ([before, after]) =>
      Effect.sync(() => {
        const text = `postgres://bob:${before.join("")}${MARK}${after.join("")}@host/db`
        const shown = Result.match(parsePostgresUrl(text), {
          onFailure: (problem) => problem,
          onSuccess: showPostgresUrl
        })
        expect(shown).not.toContain(MARK)
      }),
    { arbitrary: { runs: 2_000 } }
  )
})
