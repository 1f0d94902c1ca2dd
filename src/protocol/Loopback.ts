const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/i

/** Whether a host (IPv6 without brackets) is this machine, so that traffic never leaves it. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host)
