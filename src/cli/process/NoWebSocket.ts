/**
 * Stands in for the package `ws`, of which Effect's HTTP server wants these names. The server here
 * answers every request to upgrade as an ordinary one, so build.ts leaves the package out.
 */
export class WebSocket {}
export class WebSocketServer {}
