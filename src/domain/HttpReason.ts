/** Says why an HTTP request failed, in the words that help an operator. */
import type { HttpClientError } from "effect/http/HttpClientError"

/** Returns the status, or the reason in the innermost cause. */
export const reasonOf = (error: HttpClientError): string => {
  if (error.response !== undefined) return `HTTP status ${error.response.status}`
  let cause: Error = error.reason
  while (cause.cause instanceof Error) cause = cause.cause
  // One error per address of the host.
  const [first] = cause instanceof AggregateError ? cause.errors : []
  return first instanceof Error ? first.message : cause.message
}
