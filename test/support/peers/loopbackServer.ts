/** An HTTP server of a test, on a free port of loopback. */
import type * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"

/** Listens until the scope closes, and then ends every connection; returns the port. */
export const listen = (server: Http.Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.sync(() => (server.address() as AddressInfo).port))
      )
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
