/** UDP sockets: `openUdpSocket` and its contract, `UdpSocket`. Datagrams in and out; nothing of links or sessions. */

export { openUdpSocket, type UdpIo, type UdpSocketOptions } from "./open.ts";
export { openError } from "./open-error.ts";
export type { UdpCounters, UdpFeatures, UdpSocket } from "./udp-socket.ts";
