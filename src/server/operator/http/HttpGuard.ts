/**
 * What every HTTP request must satisfy, and what every answer says about itself. A request with a
 * foreign `Host` comes from a page of somewhere else whose name was pointed at this server.
 */
import { Effect } from "effect"
import type * as HttpServerError from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { isLoopback } from "../../../protocol/Loopback.ts"

const METHODS = ["GET", "HEAD"]

const HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; "),
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-cache",
  // Requests sent ahead would have their answers kept in memory until the first answer is read.
  connection: "close"
}

/** An answer of one line. */
export const text = (status: number, line: string, headers: Record<string, string> = {}) =>
  HttpServerResponse.text(`${line}\n`, {
    status,
    contentType: "text/plain; charset=utf-8",
    headers
  })

/** A name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port. */
const HOST = /^(?:\[([\da-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/i

/** Returns the host of a `Host` header, in lower case, without brackets and port. */
const hostOf = (header: string): string | undefined => {
  const [, address, name] = HOST.exec(header) ?? []
  return (address ?? name)?.toLowerCase()
}

const refusalOf = (
  { headers, method }: HttpServerRequest,
  hosts: ReadonlySet<string>
): HttpServerResponse.HttpServerResponse | undefined => {
  const host = hostOf(headers.host ?? "")
  if (host === undefined || !(isLoopback(host) || hosts.has(host))) {
    return text(421, "This name is not one of this server; add it with --http-host.")
  }
  if (!METHODS.includes(method)) {
    return text(405, "Only GET and HEAD are allowed.", { allow: METHODS.join(", ") })
  }
  const length = headers["content-length"] ?? "0"
  if (length !== "0" || headers["transfer-encoding"] !== undefined) {
    return text(413, "A request cannot have a body.")
  }
  return undefined
}

/** Guards the routes; `hosts` are the names of the server besides loopback, in lower case. */
export const guard = <R>(
  routes: Effect.Effect<HttpServerResponse.HttpServerResponse, HttpServerError.HttpServerError, R>,
  hosts: ReadonlySet<string>
) =>
  Effect.gen(function* () {
    const refused = refusalOf(yield* HttpServerRequest, hosts)
    if (refused !== undefined) return refused
    // The router fails only if there is no such route.
    return yield* Effect.orElseSucceed(routes, () => text(404, "There is no such page."))
  }).pipe(Effect.map(HttpServerResponse.setHeaders(HEADERS)))
