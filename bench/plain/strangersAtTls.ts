/**
 * Strangers at a port that speaks TLS. They open so many connections a second in all and close each
 * at once, or hold so many from each address; of a handshake they send nothing, the first bytes, or
 * a whole first message. Says once a second how many were opened. Runs until it is ended.
 *
 * node bench/plain/strangersAtTls.ts PORT (open|hold) COUNT ADDRESSES (nothing|half|hello) NETWORK
 *
 * The addresses are 127.0.NETWORK.1 and on; those of a run before have no free ports for a minute.
 */
import * as Net from "node:net"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"

const [port, manner, count, addresses, what, network] = process.argv.slice(2)

/** The first message of a handshake. */
const hello = await new Promise<Buffer>((resolve) => {
  const socket = new Duplex({ read: () => {}, write: (chunk: Buffer) => resolve(chunk) })
  Tls.connect({ socket, servername: "localhost" })
})
const sent = { nothing: Buffer.alloc(0), half: hello.subarray(0, 6), hello }[what ?? ""]
if (sent === undefined)
  throw new Error("expected: PORT (open|hold) COUNT ADDRESSES (nothing|half|hello)")

let opened = 0
const open = (index: number, onOpen: (socket: Net.Socket) => void, onClose = () => {}) => {
  const localAddress = `127.0.${network}.${1 + (index % Number(addresses))}`
  const socket = Net.connect({ host: "127.0.0.1", port: Number(port), localAddress })
  socket.on("connect", () => {
    opened++
    if (sent.length === 0) onOpen(socket)
    else socket.write(sent, () => onOpen(socket))
  })
  socket.on("error", () => {})
  socket.on("close", onClose)
  socket.resume()
}

if (manner === "hold") {
  /** One that is sent away comes again. */
  const keep = (index: number) =>
    open(
      index,
      () => {},
      () => setTimeout(keep, 100, index)
    )
  for (let index = 0; index < Number(count) * Number(addresses); index++) keep(index)
} else {
  const TICK_MILLIS = 10
  const start = performance.now()
  let next = 0
  setInterval(() => {
    const due = ((performance.now() - start) / 1000) * Number(count)
    while (next < due) open(next++, (socket) => socket.end())
  }, TICK_MILLIS)
}
setInterval(() => {
  console.log(opened)
  opened = 0
}, 1000)
