/**
 * The receiving side of the machine's limit: appends the bytes received over loopback to a file,
 * with one fdatasync per MiB, and acknowledges the end. It does not examine them.
 *
 * node bench/plain/receive.ts FILE
 */
import { fdatasyncSync, openSync, writeSync } from "node:fs"
import { createServer } from "node:net"

const MEBIBYTE = 1024 * 1024
const file = openSync(process.argv[2]!, "a")

const server = createServer({ allowHalfOpen: true, highWaterMark: MEBIBYTE }, (socket) => {
  let chunks: Array<Buffer> = []
  let bytes = 0
  const store = () => {
    writeSync(file, Buffer.concat(chunks))
    fdatasyncSync(file)
    chunks = []
    bytes = 0
  }
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= MEBIBYTE) store()
  })
  socket.on("end", () => {
    store()
    socket.end("stored")
  })
})
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify(server.address())))
