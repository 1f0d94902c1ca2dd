/**
 * The sending side of the machine's limit: sends a file over loopback and exits once the receiver
 * acknowledges it.
 *
 * node bench/plain/send.ts PORT FILE
 */
import { createReadStream } from "node:fs"
import { connect } from "node:net"

const [, , port, file] = process.argv
const socket = connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true })
createReadStream(file!, { highWaterMark: 1024 * 1024 }).pipe(socket)
socket.on("data", () => process.exit())
socket.on("close", () => process.exit(1))
