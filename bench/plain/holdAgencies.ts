/**
 * Agencies that have finished a book without bets and wait for the draw, as many as there are from
 * one number to another, from several addresses. Says when the server has heard all of them, and
 * holds the connections until it is ended.
 *
 * node bench/plain/holdAgencies.ts PORT FIRST LAST
 */
import { connect } from "node:net"
import { AWAIT_WINNERS, finishOf, helloOf } from "../../test/support/peers/messages.ts"

const [port, first, last] = process.argv.slice(2).map(Number) as [number, number, number]
/** An address has so few connections before they are known that the server lets them in. */
const ADDRESSES = 50
/** So many at a time have not been heard. */
const AT_A_TIME = 200

let next = first
let heard = 0

const come = (): void => {
  if (next > last) return
  const agency = next++
  const localAddress = `127.0.1.${1 + (agency % ADDRESSES)}`
  const socket = connect({ host: "127.0.0.1", port, localAddress })
  socket.write(Buffer.concat([helloOf(agency), finishOf([]), AWAIT_WINNERS]))
  let said = ""
  let isHeard = false
  socket.on("data", (chunk: Buffer) => {
    if (isHeard) return
    said += chunk.toString("latin1")
    if (!said.includes('"Waiting"')) return
    isHeard = true
    heard++
    if (heard === last - first + 1) console.log("all are heard")
    come()
  })
  socket.on("error", (error) => {
    throw error
  })
  socket.on("close", () => {
    throw new Error(`the server closed the connection of agency ${agency}: ${said}`)
  })
}
for (let count = 0; count < AT_A_TIME; count++) come()
