/** Which hosts are this machine itself, so that no other machine hears what is sent to them. */

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/i

/** Whether a host, IPv6 without brackets, can only be this machine. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host)
