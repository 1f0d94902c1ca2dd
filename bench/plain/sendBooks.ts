/**
 * Connects AGENCIES agencies from several addresses. Once the server has welcomed all of them, each
 * sends BETS bets in frames of 1,000, the first rows of the file BOOK over and over, up to four
 * frames ahead of the acknowledgements. Prints the bets per second from the first frame to the last
 * acknowledgement, then exits.
 *
 * node bench/plain/sendBooks.ts PORT AGENCIES BETS BOOK
 */
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { betsFrame, controlsIn, helloOf } from "../../test/support/peers/messages.ts"

const [port, agencies, bets] = process.argv.slice(2, 5).map(Number) as [number, number, number]
const lines = readFileSync(process.argv[5]!, "utf8").split("\r\n")
const FRAME_BETS = 1000
const AHEAD = 4 * FRAME_BETS
/** Enough addresses for the server's limit on unidentified connections per address. */
const ADDRESSES = 50
const CONCURRENT_CONNECTS = 200

const rowsOf = (count: number) => `${lines.slice(0, count).join("\n")}\n`
const fullFrame = betsFrame(0, FRAME_BETS, rowsOf(FRAME_BETS))
const lastFrame = betsFrame(0, bets % FRAME_BETS, rowsOf(bets % FRAME_BETS))
const POSITION_OFFSET = 5

const sendOne = (socket: Socket, position: number) => {
  const frame = Buffer.from(bets - position < FRAME_BETS ? lastFrame : fullFrame)
  frame.writeUInt32BE(position, POSITION_OFFSET)
  socket.write(frame)
}

let next = 1
let welcomed = 0
let unfinished = agencies
let begin = 0
const starts: Array<() => void> = []

const finish = () => {
  unfinished--
  if (unfinished > 0) return
  console.log((agencies * bets * 1000) / (performance.now() - begin))
  process.exit()
}

const connectNext = (): void => {
  if (next > agencies) return
  const agency = next++
  const localAddress = `127.0.1.${1 + (agency % ADDRESSES)}`
  const socket = connect({ host: "127.0.0.1", port, localAddress, noDelay: true })
  let sent = 0
  const sendUpTo = (end: number) => {
    for (; sent < Math.min(end, bets); sent += FRAME_BETS) sendOne(socket, sent)
  }
  let rest = Buffer.alloc(0)
  /** Takes the whole messages that have arrived. */
  const take = (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    let end = 0
    while (end + 4 <= rest.length && end + 4 + rest.readUInt32BE(end) <= rest.length) {
      end += 4 + rest.readUInt32BE(end)
    }
    const messages = controlsIn(rest.subarray(0, end))
    rest = rest.subarray(end)
    return messages
  }
  socket.on("data", (chunk: Buffer) => {
    for (const message of take(chunk)) {
      if (message._tag === "Ack") {
        if (message.bets === bets) return finish()
        sendUpTo(Number(message.bets) + AHEAD)
      } else if (message._tag === "Welcome") {
        starts.push(() => sendUpTo(AHEAD))
        connectNext()
        welcomed++
        if (welcomed < agencies) continue
        begin = performance.now()
        for (const start of starts) start()
      } else throw new Error(JSON.stringify(message))
    }
  })
  socket.on("close", () => {
    throw new Error(`the server closed the connection of agency ${agency}`)
  })
  socket.write(helloOf(agency))
}
for (let count = 0; count < CONCURRENT_CONNECTS; count++) connectNext()
