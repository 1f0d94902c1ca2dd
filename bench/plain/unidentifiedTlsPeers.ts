/**
 * Unidentified peers at a TLS port. `open` opens COUNT connections per second in total and closes
 * each at once; `hold` keeps COUNT connections per address open. Each sends nothing, the first
 * bytes of a handshake, or its whole first message. Prints once per second how many connections
 * were opened. Runs until it is killed.
 *
 * node bench/plain/unidentifiedTlsPeers.ts PORT (open|hold) COUNT ADDRESSES
 *   (nothing|half|hello) NETWORK
 *
 * The addresses start at 127.0.NETWORK.1. Use a new NETWORK for each run: the ports of the previous
 * one stay occupied for a minute.
 */
import * as Net from "node:net"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"

const [port, mode, count, addresses, what, network] = process.argv.slice(2)

const hello = await new Promise<Buffer>((resolve) => {
  const socket = new Duplex({ read: () => {}, write: (chunk: Buffer) => resolve(chunk) })
  Tls.connect({ socket, servername: "localhost" })
})
const sent = { nothing: Buffer.alloc(0), half: hello.subarray(0, 6), hello }[what ?? ""]
if (sent === undefined)
  throw new Error("expected PORT (open|hold) COUNT ADDRESSES (nothing|half|hello) NETWORK")

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

if (mode === "hold") {
  const keepConnected = (index: number) =>
    open(
      index,
      () => {},
      () => setTimeout(keepConnected, 100, index)
    )
  for (let index = 0; index < Number(count) * Number(addresses); index++) keepConnected(index)
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
