/** Recognizes and refuses HTTP (docs/wire.md, "Telling the dialects apart"). Pure. */

const REQUEST_LINE = /^[A-Z]{1,20} \S+ HTTP\/\d(\.\d)?$/

/** Whether a line, without its line ending, is an HTTP request line. */
export const isHttpRequest = (line: string): boolean => REQUEST_LINE.test(line)

const TEXT = "This is a lottery server's port for its agencies; it does not speak HTTP.\n"

/** The response to a request; the connection closes after it. */
export const HTTP_REFUSAL = new TextEncoder().encode(
  [
    "HTTP/1.1 400 Bad Request",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${TEXT.length}`,
    "Connection: close",
    "",
    TEXT
  ].join("\r\n")
)
