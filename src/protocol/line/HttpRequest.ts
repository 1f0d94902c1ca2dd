/** HTTP as it comes to a port that does not speak it (wire: "Telling them apart"). Pure. */

const REQUEST_LINE = /^[A-Z]{1,20} \S+ HTTP\/\d(\.\d)?$/

/** Whether a line, without its end, is the first one of an HTTP request. */
export const isHttpRequest = (line: string): boolean => REQUEST_LINE.test(line)

const TEXT = "This is a lottery server's port for its agencies; it does not speak HTTP.\n"

/** The answer to a request, after which the connection is closed. */
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
