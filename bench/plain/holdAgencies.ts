/**
 * Connects agencies FIRST to LAST from several addresses. Each finishes an empty book and waits for
 * the draw. Prints a line when the server has answered all of them, then keeps the connections
 * until it is killed.
 *
 * node bench/plain/holdAgencies.ts PORT FIRST LAST
 */
import { connect } from "node:net"
import { AWAIT_WINNERS, finishOf, helloOf } from "../../test/support/peers/messages.ts"

const [port, first, last] = process.argv.slice(2).map(Number) as [number, number, number]
/** Enough addresses for the server's limit on unidentified connections per address. */
const ADDRESSES = 50
const CONCURRENT_CONNECTS = 200

let next = first
let waiting = 0

const connectNext = (): void => {
  if (next > last) return
  const agency = next++
  const localAddress = `127.0.1.${1 + (agency % ADDRESSES)}`
  const socket = connect({ host: "127.0.0.1", port, localAddress })
  socket.write(Buffer.concat([helloOf(agency), finishOf([]), AWAIT_WINNERS]))
  let received = ""
  let isWaiting = false
  socket.on("data", (chunk: Buffer) => {
    if (isWaiting) return
    received += chunk.toString("latin1")
    if (!received.includes('"Waiting"')) return
    isWaiting = true
    waiting++
    if (waiting === last - first + 1) console.log("all are waiting")
    connectNext()
  })
  socket.on("error", (error) => {
    throw error
  })
  socket.on("close", () => {
    throw new Error(`the server closed the connection of agency ${agency}: ${received}`)
  })
}
for (let count = 0; count < CONCURRENT_CONNECTS; count++) connectNext()
